#!/bin/sh
# Makes the files of this folder anew from the npm packages named here: of each package the part that we use, in one ES module.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-save --no-package-lock jose@6.2.18 lit@3.3.3 chart.js@4.6.1 esbuild@0.28.2
node node_modules/esbuild/install.js # which npm may have been told not to run

# bundle <file> <first line> <licence> <entry>
bundle() {
  printf '%s\n' "$4" > entry.js
  printf '// @ts-nocheck %s; made by make.sh.\n' "$2" > "$here/$1.js"
  npx esbuild entry.js --bundle --minify --format=esm --target=es2022 --legal-comments=none >> "$here/$1.js"
  cp "node_modules/$3" "$here/$1.LICENSE"
}

bundle jose "jose 6.2.18, the part that makes compact JWEs. MIT License, see jose.LICENSE" jose/LICENSE.md \
  'export { CompactEncrypt } from "jose/jwe/compact/encrypt";'
bundle lit "lit 3.3.3 with three of its directives. BSD 3-Clause License, see lit.LICENSE" lit/LICENSE \
  'export { LitElement, html, svg, nothing } from "lit";
export { classMap } from "lit/directives/class-map.js";
export { live } from "lit/directives/live.js";
export { repeat } from "lit/directives/repeat.js";'
bundle chart "Chart.js 4.6.1, bars and lines. MIT License, see chart.LICENSE" chart.js/LICENSE.md \
  'import { BarController, BarElement, CategoryScale, Chart, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip } from "chart.js";
Chart.register(BarController, BarElement, CategoryScale, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip);
export { Chart };'
cd "$here"
sha256sum chart.js jose.js lit.js > sha256
