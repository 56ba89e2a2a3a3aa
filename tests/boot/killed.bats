#!/usr/bin/env bats
# Guests that are killed at random moments, while they change everything that can be changed (worker.c): what rootlet
# shows of their disks is what e2fsck makes of copies. MOMENTS=N: so many; SEED=N: others; KERNEL=FILE: by another
# kernel than linux-um.
load ../cli/helper

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    gcc -D_GNU_SOURCE -static -O2 -Wall -Wextra -Werror -o worker "$BATS_TEST_DIRNAME/worker.c"
    mkdir -p root/dev root/tmp
    cp worker root/init
    "${ROOTLET:-$BATS_TEST_DIRNAME/../../rootlet}" pack -q -o root.ext4 --chmod /init=0755 root
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

# The disks: a letter, options to mount it with, options of mke2fs.
disks() {
    cat <<'END_OF_DISKS'
b data=ordered -t ext4
c data=journal -t ext4 -b 1024
d data=writeback,journal_async_commit -t ext4 -b 2048
e data=ordered -t ext4 -b 1024 -O ^metadata_csum,^64bit
f data=journal -t ext3 -b 1024
g data=writeback,journal_checksum -t ext4 -O inline_data,ea_inode,^metadata_csum
h data=ordered -t ext4 -O fast_commit,bigalloc
i data=journal,journal_checksum -t ext4 -b 1024 -O orphan_file,inline_data -I 512
END_OF_DISKS
}

# Boots it with all disks, and kills it a while after it has begun to work.
kill_after() {
    local pid i letter options words=()
    while read -r letter options _; do
        words+=(--disk "$letter.img" --append "opt_$letter=$options")
    done < <(disks)
    : >console
    "$ROOTLET" run --kernel "$kernel" --mem 128M root.ext4 "${words[@]}" --append "disks=bcdefghi forever=1 quiet" \
        --append "seed=$2" --append init=/init </dev/null >console 2>err 3>&- &
    pid=$!
    for i in $(seq 600); do
        ! grep -q 'GO\|FAILED' console || break
        sleep 0.05
    done
    sleep "$1"
    kill -KILL $pid
    wait $pid || true
    # Its guest ends with it, and lets go of the disks.
    for i in $(seq 100); do
        rootlet info b.img 2>&1 | grep -q 'in use' || break
        sleep 0.05
    done
    grep -q GO console && ! grep 'FAILED\|EXT4-fs error' console || { cat console err; return 1; }
}

# What verbs say of an image, its own name left out.
view() {
    rootlet find --json "$1"
    rootlet manifest --format json "$1"
    rootlet tar "$1" | sha256sum
}

@test "disks of guests that are killed at random moments are shown as e2fsck repairs them" {
    skip_unless "command -v linux.uml || command -v linux" "no User Mode Linux kernel"
    kernel=${KERNEL:-$(rootlet package --recipes "$BATS_TEST_DIRNAME/../.." linux-um)/boot/linux}
    local moment letter options features replayed=0 fast=0 delay
    RANDOM=${SEED:-1}
    for moment in $(seq "${MOMENTS:-4}"); do
        while read -r letter options features; do
            mke2fs -q -F $features "$letter.img" 32M >mke2fs.log 2>&1
        done < <(disks)
        delay=$((RANDOM % 3)).$((RANDOM % 1000))
        kill_after $delay $RANDOM
        while read -r letter options features; do
            cp --sparse=always "$letter.img" fixed.img
            sha256sum "$letter.img" >before
            status=0
            view "$letter.img" >seen 2>told || status=$?
            sha256sum --check --quiet before
            # Fast commits are refused, and only they.
            if grep -q 'it has fast commits, which are not supported' told; then
                [[ $features == *fast_commit* ]]
                fast=$((fast + 1))
                continue
            fi
            refute grep -v 'shown as it is after a replay of its journal' told
            status=0
            e2fsck -fy fixed.img >fsck.log 2>&1 || status=$?
            [ $status -le 1 ] || { echo "$letter:"; cat fsck.log;false; }
            ! grep -q 'recovering journal' fsck.log || replayed=$((replayed + 1))
            view fixed.img | diff - seen >difference ||
                { echo "$letter after $delay:"; cut -c1-500 difference; false; }
            rootlet diff --content fixed.img "$letter.img" 2>/dev/null
        done < <(disks)
    done
    echo "# $replayed journals replayed, $fast with fast commits" >&3
    # The journals were there, and held something.
    [ $((replayed + fast)) = $((${MOMENTS:-4} * 8)) ]
}
