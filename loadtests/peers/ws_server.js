// Plain `ws`: one Redis connection, one channel a calendar, each event sent as it came to every socket that watches it.
//
//   node ws_server.js <port> <redis address>

import { createServer } from "node:http";
import { createClient } from "redis";
import { WebSocketServer } from "ws";

const [port, address] = process.argv.slice(2);
const redis = await createClient({ url: address }).connect();
const rooms = new Map(); // calendar → its sockets

function onEvent(text, channel) {
  for (const socket of rooms.get(channel)) socket.send(text);
}

async function subscribe(socket, calendar) {
  const channel = `live:${calendar}`;
  const room = rooms.get(channel);
  if (room) {
    room.add(socket);
  } else {
    rooms.set(channel, new Set([socket]));
    await redis.subscribe(channel, onEvent);
  }
  socket.watched.push(channel);
  socket.send(JSON.stringify({ type: "subscribed", calendar, version: 0 }));
}

function leave(socket) {
  for (const channel of socket.watched) {
    const room = rooms.get(channel);
    room.delete(socket);
    if (!room.size) {
      rooms.delete(channel);
      redis.unsubscribe(channel);
    }
  }
}

const http = createServer((request, response) => response.end("ok"));
const sockets = new WebSocketServer({ server: http });
sockets.on("connection", (socket) => {
  socket.watched = [];
  socket.on("message", (text) => subscribe(socket, JSON.parse(text).calendar));
  socket.on("close", () => leave(socket));
});
http.listen(Number(port), "127.0.0.1");
