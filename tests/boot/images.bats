#!/usr/bin/env bats
# What pack wrote, seen and used by the guest's kernel: names, modes, times, contents; then written to,
# filled and emptied.
load helper

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    mkdir -p src/dir/deep/deeper "src/with space" src/empty src/many
    for size in 0 1 59 60 61 100 128 129 1023 1024 1025 4095 4096 4097 70000 1500000; do
        head -c $size /dev/urandom >src/dir/size-$size
    done
    ln src/dir/size-60 src/dir/deep/hard
    ln -s ../dir/size-1 src/dir/link
    ln -s "$(printf 'x%.0s' $(seq 200))" src/long-link
    mkfifo src/fifo
    truncate -s 20M src/sparse
    printf middle | dd of=src/sparse bs=1 seek=10000000 conv=notrunc status=none
    : >"src/with space/$(printf 'n%.0s' $(seq 255))"
    : >"src/with space/Grüße, 世界"
    for i in $(seq 2000); do : >"src/many/a name that is long enough for several blocks $i"; done
    chmod 6755 src/dir/size-100
    chmod 1777 src/empty
    chmod 0400 src/dir/size-1
    touch -h -d '1950-06-01 12:00:00' src/dir/link
    touch -d '2100-01-01' src/dir/size-4096
    # Names alone take a second to make and hours to look up without an index.
    mkdir -p names/d
    (cd names/d && seq -f 'file-%06.0f' 100000 | xargs touch)
    (cd src && list) >expected
    cat >check <<'END'
#!/bin/sh
# Init of the guest: looks at each disk and uses it. The host looks at what it leaves.
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
exec >/dev/console 2>&1
list() {
    find . -path ./lost+found -prune -o -path ./seen -prune -o ! -path . -print0 | sort -z |
        xargs -0 stat -c '%n %f %Y %h'
    find . -type l -print0 | sort -z | xargs -0 -n 1 readlink
    find . -type f ! -path ./seen -print0 | sort -z | xargs -0 sha256sum
}
fail() {
    echo "CHECK FAILED: $*"
    echo 1 >/proc/exitcode
    poweroff -f
    sleep 100
}
for disk in b c d e; do
    mount -t ext4 /dev/ubd$disk /mnt || fail "mount $disk"
    cd /mnt
    list >/tmp/seen || fail "list $disk"
    free=$(df -k /mnt | tail -1 | awk '{print $4}')
    [ "$free" -ge 8192 ] || fail "$free KiB are free on $disk"
    dd if=/dev/zero of=fill bs=64k 2>/dev/null && fail "never full"
    [ "$(stat -c %s fill)" -ge 8000000 ] || fail "full too early"
    rm fill
    cp -a dir copy || fail "copy on $disk"
    for i in 0 1 2 3 4 5 6 7 8 9; do rm "many/a name that is long enough for several blocks 1"$i* || fail rm; done
    for i in 1 2 3 4 5 6 7 8 9; do : >"many/another name that is long enough for a block of its own $i"; done
    mv dir/deep copy/moved || fail mv
    cp /tmp/seen seen
    cd /
    umount /mnt || fail "umount $disk"
done
mount -t ext4 /dev/ubdf /mnt || fail "mount names"
cd /mnt/d
i=1000000
while [ $i -lt 1100000 ]; do
    i=$((i + 1))
    [ -e file-${i#1} ] || fail "no file-${i#1}"
done
[ -e file-100001 ] && fail "one too many"
rm file-000001 file-050000 file-100000 && : >file-new || fail "change names"
cd /
umount /mnt || fail "umount names"
mount -o remount,ro /
echo CHECK DONE
echo 42 >/proc/exitcode
poweroff -f
END
    cat >check.conf <<'END'
summary   = "looks at disks"
packages  = { "busybox" }
skeletons = { "base" }
path "/sbin/check" { source = "check"  mode = 0755 }
disk "root" { free = 4M }
END
    rootlet build -q -o root check.conf
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

list() {
    export LC_ALL=C
    find . ! -path . -print0 | sort -z | xargs -0 stat -c '%n %f %Y %h'
    find . -type l -print0 | sort -z | xargs -0 -n 1 readlink
    find . -type f -print0 | sort -z | xargs -0 sha256sum
}
export -f list

@test "the guest's kernel sees what went in, looks 100,000 names up, writes, fills and empties" {
    skip_without_uml
    rootlet pack -q -o b.img --free 8M src
    rootlet pack -q -o c.img --free 8M --block-size 1024 --features inline_data,ea_inode,orphan_file src
    rootlet pack -q -o d.img --free 8M --block-size 1024 --fs ext2 src
    rootlet pack -q -o e.img --free 8M --block-size 2048 --fs ext3 --features metadata_csum,extent,^resize_inode src
    rootlet pack -q -o f.img --free 1M --features large_dir names
    for disk in b c d e f; do fsck $disk.img; done
    status=0
    timeout 300 "$ROOTLET" run root/root.ext4 --mem 128M --disk b.img --disk c.img --disk d.img --disk e.img \
        --disk f.img --append init=/sbin/check --append quiet </dev/null >console 2>err 3>&- || status=$?
    # See boot() for the latter; the guest's own words count then.
    [ $status = 42 ] || grep -q 'exit status is lost' err || { cat err; tail -20 console; false; }
    grep -q 'CHECK DONE' console
    refute grep -E 'EXT[234]-fs.*(warning|error|recovery|unchecked|corrupt)' console
    for disk in b c d e; do
        fsck $disk.img
        rootlet cat $disk.img:/seen | diff expected -
    done
    fsck f.img
}
