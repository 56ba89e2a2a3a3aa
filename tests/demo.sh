#!/bin/sh
# make demo: the whole road from a recipe to a file that a guest wrote, each command shown first.
set -eu
cd "$(dirname "$0")/.."

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

show ./rootlet build demo
show ./rootlet run demo
show ./rootlet ls -l out/demo/data.ext4:/
show ./rootlet cat out/demo/data.ext4:/foo.txt
