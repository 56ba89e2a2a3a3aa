#!/usr/bin/env bats
# Guests that are killed in the middle of their work: what rootlet shows of their disks without touching them is what
# e2fsck's replay makes of a copy.
load helper

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    cat >work <<'END'
#!/bin/sh
# Init of the guest: changes its disks until it is killed.
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
exec >/dev/console 2>&1
for disk in b c d e; do
    mkdir /tmp/$disk
    mount /dev/ubd$disk /tmp/$disk || echo "CANNOT MOUNT $disk"
done
echo GO
i=0
while :; do
    i=$((i + 1))
    for disk in b c d e; do
        cd /tmp/$disk
        mkdir -p dir$((i % 7))
        echo "file $i of $disk" >dir$((i % 7))/file$i
        [ $((i % 3)) != 0 ] || rm -f dir$(((i - 2) % 7))/file$((i - 2))
        [ $((i % 5)) != 0 ] || mv dir$((i % 7))/file$i dir0/moved$i
        [ $((i % 7)) != 0 ] || dd if=/dev/urandom of=large$((i % 3)) bs=4096 count=$((i % 60)) 2>/dev/null
        [ $((i % 11)) != 0 ] || ln -s /some/where/$i link$i
        [ $((i % 13)) != 0 ] || rm -rf dir$(((i + 3) % 7))
        [ $((i % 9)) != 0 ] || sync
    done
done
END
    cat >work.conf <<'END'
summary   = "works until it is killed"
packages  = { "busybox" }
skeletons = { "base" }
path "/sbin/work" { source = "work"  mode = 0755 }
disk "root" { free = 1M }
END
    rootlet build -q -o root work.conf
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

# Boots it, and kills it so many seconds after it has begun to work.
kill_after() {
    local pid i
    : >console
    "$ROOTLET" run root/root.ext4 --disk b.img --disk c.img --disk d.img --disk e.img \
        --append init=/sbin/work --append quiet </dev/null >console 2>err 3>&- &
    pid=$!
    for i in $(seq 600); do
        ! grep -q GO console || break
        sleep 0.1
    done
    sleep "$1"
    kill -KILL $pid
    wait $pid || true
    # Its guest ends with it, and lets go of the disks.
    for i in $(seq 100); do
        rootlet info b.img 2>&1 | grep -q 'in use' || return 0
        sleep 0.1
    done
    false
}

@test "disks of killed guests are shown as e2fsck repairs them, and are not touched" {
    skip_without_uml
    local replayed=0
    for delay in 0 0.4 0.9 1.7 6; do
        rootlet pack -q -o b.img --size 32M
        rootlet pack -q -o c.img --size 32M --fs ext3 --block-size 1024
        rootlet pack -q -o d.img --size 32M --features ^metadata_csum,^64bit
        rootlet pack -q -o e.img --size 16M --block-size 1024
        tune2fs -o journal_data e.img >/dev/null
        kill_after $delay
        refute grep 'CANNOT MOUNT' console
        for disk in b c d e; do
            cp $disk.img fixed.img
            sha256sum $disk.img >before
            rootlet manifest $disk.img >seen 2>told
            sha256sum --check --quiet before
            status=0
            e2fsck -fy fixed.img >fsck.log 2>&1 || status=$?
            [ $status -le 1 ] || { cat fsck.log; false; }
            ! grep -q 'recovering journal' fsck.log || replayed=$((replayed + 1))
            grep -q 'after a replay of its journal' told
            rootlet manifest fixed.img | diff - seen || { echo "disk $disk after $delay"; false; }
            rootlet ls -lR fixed.img | diff - <(rootlet ls -qlR $disk.img 2>/dev/null)
            rootlet diff --content fixed.img $disk.img 2>/dev/null
        done
    done
    # The journals were there, and held something.
    [ $replayed = 20 ]
}
