// Socket.IO with its Redis adapter, as its documentation sets it up; events come from outside, as its Redis emitter sends them.
//
//   node socketio_server.js <port> <redis address>

import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [port, address] = process.argv.slice(2);
const publisher = await createClient({ url: address }).connect();
const subscriber = await publisher.duplicate().connect();

const http = createServer((request, response) => response.end("ok"));
const io = new Server(http, { transports: ["websocket"], serveClient: false, adapter: createAdapter(publisher, subscriber) });
io.on("connection", (socket) => {
  socket.on("subscribe", async (calendar) => {
    await socket.join(calendar);
    socket.emit("subscribed", { calendar, version: 0 });
  });
});
http.listen(Number(port), "127.0.0.1");
