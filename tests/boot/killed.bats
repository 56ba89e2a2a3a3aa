#!/usr/bin/env bats
# Guests that are killed at random moments, while they change everything that can be changed (worker.c): what rootlet
# shows of their disks is what e2fsck makes of copies. MOMENTS=N: so many; SEED=N: others; KERNEL=FILE: by another
# kernel than linux-um.
load helper

setup_file() {
    build_worker
    # One that mounts a disk, and unmounts it.
    mkdir -p mounts/dev mounts/etc mounts/mnt
    echo '/dev/ubdb /mnt ext4 defaults 0 0' >mounts/etc/fstab
    echo 'int main(void) { return 0; }' | gcc -static -xc -o mounts/nothing -
    rootlet pack -q -o mounts.ext4 --chmod /nothing=0755 mounts
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

# kill_after SECONDS SEED SUFFIX: boots it with all disks, and kills it a while after it has begun to work. Its
# process group has nothing else: rootlet run takes no COW files, so it is the kernel itself for them.
kill_after() {
    local pid i n=1 letter options disks=() words=()
    while read -r letter options _; do
        disks+=("ubd$n$([ "$3" = cow ] || echo d)=$letter.$3")
        words+=("opt_$letter=$options")
        n=$((n + 1))
    done < <(disks)
    : >console
    setsid "$kernel" ubd0rd=root.ext4 "${disks[@]}" "${words[@]}" root=/dev/ubda init=/init mem=128M quiet con=null \
        con0=null,fd:1 uml_dir="$PWD/uml" disks=bcdefghi forever=1 "seed=$2" </dev/null 2>&1 3>&- | cat >console 3>&- &
    for i in $(seq 600); do
        ! grep -q 'GO\|FAILED' console || break
        sleep 0.05
    done
    sleep "$1"
    pid=$(cat uml/*/pid)
    kill -KILL -- "-$pid"
    wait
    rm -rf uml
    grep -q GO console && ! grep 'FAILED\|EXT4-fs error' console || { cat console; return 1; }
}

repair_by_kernel() {
    rootlet info fixed.img 2>/dev/null | grep -q 'state .*replay'
    rootlet run --kernel "$kernel" mounts.ext4 --disk fixed.img -- /nothing </dev/null
    rootlet info fixed.img | grep -q 'state *clean'
}

# repair FEATURES: fixed.img, by e2fsck; where that is wrong (1.47.0), by the guest's kernel. With fast commits it takes
# a log that has wrapped around to go on in their area; a short symlink with an attribute in an inode of its own it
# takes for one that has blocks.
repair() {
    local status=0
    if [[ $1 == *fast_commit* || $1 == *ea_inode* ]]; then
        : >fsck.log
        repair_by_kernel
        replayed=$((replayed + 1))
        return
    fi
    e2fsck -fy fixed.img >fsck.log 2>&1 || status=$?
    [ $status -le 1 ] || { cat fsck.log; false; }
    ! grep -q 'recovering journal' fsck.log || replayed=$((replayed + 1))
}

# copy_disk DISK: as fixed.img.
copy_disk() {
    case $1 in
        *.img) cp --sparse=always "$1" fixed.img ;;
        *) rootlet cow commit -q -o fixed.img "$1" ;;
    esac
}

# same_as DISK: what was seen of it is what is in fixed.img.
same_as() {
    view fixed.img | diff - seen >difference && rootlet diff --content fixed.img "$1" 2>/dev/null
}

# is_torn DISK FEATURES: of disks with inline data the kernel (6.1) now and then commits what is not whole: an inode whose
# checksum is not computed yet, a directory without its newest names, a symlink without its target. e2fsck repairs more of
# it than a replay does; but what rootlet shows, and says of it, is the same after the kernel's own replay.
is_torn() {
    [[ $2 == *inline_data* ]] || return 1
    copy_disk "$1"
    repair_by_kernel
    view fixed.img >kernel-seen 2>kernel-told || true
    cmp seen kernel-seen
    diff <(grep -v 'shown as it is after a replay of its journal' told | sed "s,$1,disk,") <(sed 's,fixed.img,disk,' kernel-told)
}

# What verbs say of an image, its own name left out.
view() {
    rootlet find --json "$1"
    rootlet manifest --format json "$1"
    rootlet tar "$1" | sha256sum
}

# watch SUFFIX: kills guests, whose disks are raw (img) or COW files (cow), at so many moments.
watch() {
    skip_without_uml
    kernel=${KERNEL:-$(rootlet package --recipes "$BATS_TEST_DIRNAME/../.." linux-um)/boot/linux}
    local moment letter options features replayed=0 fast=0 torn=0 delay disk moments=${MOMENTS:-2}
    RANDOM=${SEED:-1}
    for moment in $(seq "$moments"); do
        while read -r letter options features; do
            mke2fs -q -F $features "$letter.img" 32M >mke2fs.log 2>&1
            rm -f "$letter.cow"
            [ "$1" = img ] || rootlet cow create -q "$letter.cow" "$letter.img"
        done < <(disks)
        delay=$((RANDOM % 3)).$((RANDOM % 1000))
        kill_after $delay $RANDOM "$1"
        while read -r letter options features; do
            disk=$letter.$1
            copy_disk "$disk"
            sha256sum "$letter".* >before
            status=0
            view "$disk" >seen 2>told || status=$?
            sha256sum --check --quiet before
            # Fast commits are refused, and only they.
            if grep -q 'it has fast commits, which are not supported' told; then
                [[ $features == *fast_commit* ]]
                fast=$((fast + 1))
                continue
            fi
            repair "$features"
            : >difference
            if grep -qv 'shown as it is after a replay of its journal' told || ! same_as "$disk"; then
                is_torn "$disk" "$features" ||
                    { echo "$disk after $delay:"; head -n 20 told difference fsck.log | cut -c1-300; false; }
                torn=$((torn + 1))
            fi
        done < <(disks)
    done
    echo "# $1: $replayed journals replayed, $fast with fast commits, $torn torn" >&3
    [ $((torn * 20)) -le $((moments * 8)) ] || [ $torn -le 1 ]
    # The journals were there, and held something.
    [ $((replayed + fast)) = $((moments * 8)) ]
}

@test "disks of guests that are killed at random moments are shown as e2fsck repairs them" {
    watch img
}

@test "the same through COW files" {
    watch cow
}
