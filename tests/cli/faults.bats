#!/usr/bin/env bats
# Every call to the system that can fail does, one after the other.
load helper

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    mkdir -p src/dir/deep old
    printf 'hello\n' >src/file
    head -c 3000000 /dev/urandom >src/dir/large
    truncate -s 300000 src/sparse
    printf end | dd of=src/sparse bs=1 seek=200000 conv=notrunc status=none
    ln src/file src/dir/hard
    ln -s "$(printf 'x%.0s' $(seq 100))" src/link
    setfattr -n user.test -v value src/file 2>/dev/null || :
    echo old >old/file
    rootlet pack -q -o old.ext4 old
    rootlet pack -q -o new.ext4 src
    tar --posix -czf src.tar.gz -C src .
    rootlet pack -q -o unpacked.ext4 src.tar.gz
}

fault() {
    rm -rf work
    mkdir work
    cp --sparse=always "$BATS_FILE_TMPDIR/old.ext4" work/t.ext4
    : >hit
    status=0
    FAULT_AT=$1 FAULT_ERROR=$2 FAULT_LOG=$PWD/hit timeout 60 "$ROOTLET_FAULTY" "${@:3}" 2>err || status=$?
}

# Runs the command with its first, second, ... call failing. After each run what is in the folder is the old
# image, or the whole new one, and nothing else.
each_fault() {
    local at status count failed=0 name wanted=${wanted:-new.ext4}
    fault 0 "$@"
    count=$(cat hit)
    [ "$count" -gt 50 ]
    cmp work/t.ext4 "$BATS_FILE_TMPDIR/$wanted"
    for ((at = 1; at <= count; at++)); do
        fault $at "$@"
        name=$(cat hit)
        [ "$(ls -A work)" = t.ext4 ] || { echo "$at $name: litter: $(ls -A work)"; return 1; }
        if [ $status = 0 ]; then
            cmp work/t.ext4 "$BATS_FILE_TMPDIR/$wanted" || { echo "$at $name: another image"; return 1; }
        elif [ $status = 1 ]; then
            failed=$((failed + 1))
            [ "$(wc -l <err)" = 1 ] && grep -q '^rootlet: .*: .*: ' err || { echo "$at $name:"; cat err; return 1; }
            # The last one is that of the folder: the image is there, but may not be after a power cut.
            cmp -s work/t.ext4 "$BATS_FILE_TMPDIR/old.ext4" ||
                { [ "$name" = fsync ] && cmp work/t.ext4 "$BATS_FILE_TMPDIR/$wanted"; } ||
                { echo "$at $name: the old image is gone"; return 1; }
        else
            echo "$at $name: status $status"
            cat err
            return 1
        fi
    done
    echo "$count calls, $failed failures"
    [ "$1" = SHORT ] || [ "$failed" -gt $((count / 4)) ]
}

@test "an input or output error at each call of pack" {
    each_fault EIO pack -q -o work/t.ext4 "$BATS_FILE_TMPDIR/src"
}

@test "an input or output error at each call of pack from an archive" {
    wanted=unpacked.ext4 each_fault EIO pack -q -o work/t.ext4 "$BATS_FILE_TMPDIR/src.tar.gz"
}

@test "no space at each call of pack" {
    each_fault ENOSPC pack -q -o work/t.ext4 "$BATS_FILE_TMPDIR/src"
}

@test "half a read or a write at each call of pack" {
    each_fault SHORT pack -q -o work/t.ext4 "$BATS_FILE_TMPDIR/src"
}
