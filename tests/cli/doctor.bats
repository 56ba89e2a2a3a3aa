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

# disk FILE MARK TEXT: what doctor says of it.
disk() {
    status=0
    rootlet doctor --kernel /nowhere "$1" >found || status=$?
    [ "$status" = 1 ]
    grep "^$2  *disk  *$1: $3" found || { cat found; false; }
}

@test "doctor looks into images" {
    mkdir -p root/sbin root/bin
    cp /bin/true root/bin/tool
    ln -s ../bin/tool root/sbin/init
    truncate -s 20M good.img
    mke2fs -q -t ext4 -d root good.img
    disk good.img ok 'can be used$'
    rootlet cow create -q good.cow good.img
    disk good.cow ok 'can be used$'
    rm root/sbin/init
    ln -s /bin/tool root/bin/sh
    rootlet pack -q -o sh.img root
    disk sh.img ok 'can be used$'
    # A symlink to nothing, and what is not executable.
    ln -sf nothing root/bin/sh
    touch root/bin/init
    rootlet pack -q -o none.img root
    disk none.img FAIL 'cannot be a root: it has no program /sbin/init, /etc/init, /bin/init or /bin/sh$'

    cp good.img cut.img
    truncate -s 10M cut.img
    disk cut.img FAIL 'cannot be a root: it is cut short'
    cp good.img groups.img
    yes | head -c 2048 | dd of=groups.img bs=1024 seek=2 conv=notrunc status=none
    disk groups.img FAIL 'cannot be a root: group 0 has its block bitmap at block .* outside of the file system$'
    cp good.img super.img
    dd if=/dev/zero of=super.img bs=1024 seek=1 count=1 conv=notrunc status=none
    disk super.img FAIL 'cannot be a root: it holds no ext file system'
    cp good.img journal.img
    debugfs -w -R 'clri <8>' journal.img >/dev/null 2>&1
    disk journal.img FAIL 'cannot be a root: its journal: '
    cp good.img errors.img
    debugfs -w -R 'ssv state 2' errors.img >/dev/null 2>&1
    disk errors.img warn 'the kernel has met errors in it$'
    yes | head -c 1M >other.img
    disk other.img FAIL 'cannot be a root: it holds no ext file system'
    printf hsqs | dd of=other.img conv=notrunc status=none
    disk other.img warn 'a squashfs, and no ext file system: it is not known'
}
