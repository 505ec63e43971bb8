#!/bin/sh
# Makes jose.js anew from the npm packages named here: the part of jose that seals, and nothing else of it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-save --no-package-lock jose@6.2.18 esbuild@0.28.2
node node_modules/esbuild/install.js # which npm may have been told not to run
echo 'export { CompactEncrypt } from "jose/jwe/compact/encrypt";' > entry.js
echo '// @ts-nocheck jose 6.2.18, the part that makes compact JWEs. MIT License, see jose.LICENSE; made by make.sh.' > "$here/jose.js"
npx esbuild entry.js --bundle --minify --format=esm --target=es2022 --legal-comments=none >> "$here/jose.js"
cp node_modules/jose/LICENSE.md "$here/jose.LICENSE"
cd "$here"
sha256sum jose.js > jose.sha256
