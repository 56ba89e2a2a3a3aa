#!/usr/bin/env bats
# rootlet doctor, in surroundings that bubblewrap makes.
load helper

# Runs doctor with what bubblewrap is told about the files that it sees.
in_place() {
    skip_unless "bwrap --bind / / true" "bubblewrap cannot be used here"
    status=0
    TMPDIR= bwrap --dev-bind / / "$@" --chdir / "$ROOTLET" doctor >found 2>&1 || status=$?
    [ "$status" = 1 ]
}

@test "no exec mappings, no room, no terminals, no /proc" {
    in_place --tmpfs /proc
    grep -q '^FAIL  proc  *there is no /proc/self/fd$' found
    grep -q 'mount -t proc proc /proc' found
    mkdir none
    in_place --ro-bind none /tmp --ro-bind none /dev/shm
    grep -q '^FAIL  exec mappings  */dev/shm: Read-only file system, /tmp: Read-only file system$' found
    grep -q 'mount -o remount,exec /dev/shm' found
    grep -q '^FAIL  guest memory  *no folder for it$' found
    in_place --size 1048576 --tmpfs /tmp --size 1048576 --tmpfs /dev/shm
    grep -Eq '^FAIL  guest memory  *1\.0M free in /dev/shm, 128M for a guest by default$' found || { cat found; false; }
    grep -q 'give guests less with --mem' found
    mkdir empty
    bwrap --dev-bind / / --bind empty /dev/pts --bind /dev/null /dev/ptmx "$ROOTLET" doctor >found || true
    grep -q '^warn  pty ' found || { cat found; false; }
    grep -q 'mount devpts at /dev/pts' found
}

@test "doctor as JSON tells of images, too" {
    truncate -s 0 empty.ext4
    run --separate-stderr rootlet doctor --json empty.ext4
    [ "$status" = 1 ]
    python3 -c 'import json, sys
found = json.load(sys.stdin)
for what in "qemu", "kvm":
    one, = [f for f in found if f["what"] == what]
    assert not one["needed"] and one["good"] == ("advice" not in one), one
disk, = [f for f in found if f["what"] == "disk"]
assert not disk["good"] and disk["needed"] and "it is empty" in disk["found"] and disk["advice"], disk' <<<"$output"
}
