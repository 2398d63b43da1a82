#!/usr/bin/env bash
# Draws every board, with the past of the example organisation in a real Prometheus, and the web pages of its service,
# into docs/pictures. Installs what it needs where we may; without pngquant the pictures are larger. Expects
# scripts/setup.sh dev.
. "$(dirname "$0")/lib.sh"
scripts/servers.sh
if ! command -v pngquant >/dev/null && can_apt; then apt_install pngquant || echo "apt-get failed, see above." >&2; fi
step "drawing boards" .venv/bin/python tests/lib/board_pictures.py docs/pictures
step "drawing pages" .venv/bin/python tests/lib/page_pictures.py docs/pictures/pages
if command -v pngquant >/dev/null; then
    step "compressing" pngquant --force --ext .png --strip --speed 1 64 docs/pictures/*.png docs/pictures/pages/*.png
fi
steps_done
