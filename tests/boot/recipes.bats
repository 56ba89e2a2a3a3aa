#!/usr/bin/env bats
# The images that come with rootlet, each doing in a guest what it is for. What a guest has to do is in
# /etc/ready.d/test of a recipe that includes the image's own.
load helper

setup_file() {
    build_packages
}

# Boots an image's recipe with a script on standard input that the guest runs before it powers off. Its output
# stands in the file "said".
run_in() {
    local image=$1
    shift
    {
        echo '#!/bin/sh'
        echo 'exec </dev/null >/dev/console 2>&1'
        echo 'echo BEGIN'
        cat
        echo 'echo END'
        echo 'poweroff'
    } >test.sh
    cat >test.conf <<END
include = "$image"
path "/etc/ready.d"      { type = dir }
path "/etc/ready.d/test" { source = "test.sh"  mode = 0755 }
run { timeout = 120s }
END
    rootlet build -q --recipes "$TOP" -o out test.conf
    fsck out/root.ext4
    boot --recipes "$TOP" -o out test.conf "$@"
    tr -d '\r' <console | sed -n '/BEGIN$/,/^END$/p' >said
    grep -qx END said || { cat console err; return 1; }
    refute grep -E 'EXT4-fs (warning|error)|EXT4-fs \(ubd.\): (warning|error|recovery)' console
}

@test "minimal: a shell in less than 1 MiB of ext2" {
    skip_without_uml
    rootlet build -q --recipes "$TOP" -o out minimal
    [ "$(stat -c %s out/root.ext2)" -lt 1048576 ]
    fsck out/root.ext2
    echo 'uname -s; ps | head -n 3; mount; poweroff -f' >commands
    timeout 60 "$ROOTLET" run --recipes "$TOP" -o out minimal <commands >console 2>err || true
    grep -q '/ # ' console || { cat console err; false; }
    grep -q '^Linux' console
    grep -q 'proc on /proc type proc' console
}

@test "net: in by SSH with a key, and out; not in with a wrong key or none" {
    skip_without_uml
    run_in net --forward 0:22 <<'END'
ls -l /etc/network/interfaces /usr/share/udhcpc/default.script
dropbearkey -t ed25519 -f /tmp/key >/tmp/pub
dropbearkey -t ed25519 -f /tmp/other >/dev/null
mkdir -p /root/.ssh
grep '^ssh-' /tmp/pub >/root/.ssh/authorized_keys
for try in 1 2 3 4 5 6 7 8 9 10; do nc -z 127.0.0.1 22 && break; sleep 1; done
dbclient -y -i /tmp/key root@127.0.0.1 'echo "in as $(id -un)"; exit 7' 2>/dev/null
echo "status $?"
echo data | dbclient -y -i /tmp/key root@127.0.0.1 'cat >/tmp/copy' 2>/dev/null; cat /tmp/copy
dbclient -y -i /tmp/other root@127.0.0.1 'echo WRONG' </dev/null
printf '#!/bin/sh\nexec dbclient -y -i /tmp/key "$@"\n' >/tmp/ssh; chmod +x /tmp/ssh
scp -S /tmp/ssh /etc/hostname root@127.0.0.1:/tmp/name 2>/dev/null; cat /tmp/name
END
    grep -qx 'in as root' said || { cat said; false; }
    grep -qx 'status 7' said
    grep -qx 'data' said
    grep -qx 'net' said
    refute grep -q WRONG said
}

@test "net: the key of whoever builds it is the one that gets in" {
    key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1Ajk1dL0uXmyk2sQQ1qCBQ9Ws5HV1Z8pXBYjSS8WGo me@here"
    rootlet build -q --recipes "$TOP" --set key="$key" -o out net
    [ "$(rootlet cat out/root.ext4:/root/.ssh/authorized_keys)" = "$key" ]
    rootlet ls -l out/root.ext4:/root/.ssh/authorized_keys | grep -q '^-rw------- .* 0     0 '
    run -1 --separate-stderr rootlet build -q --recipes "$TOP" --set key=rubbish -o out net
    failed 1 "is no public key"
}

@test "dev: compile and run C, link with zlib, run Lua, trace" {
    skip_without_uml
    run_in dev <<'END'
cd /tmp
cat >hello.c <<'C'
#include <math.h>
#include <stdio.h>
#include <linux/fs.h>
int main(void) { printf("compiled %.3f %d\n", sqrt(2), BLOCK_SIZE); return 3; }
C
cc -o hello hello.c -lm && ./hello
echo "status $?"
tcc -run hello.c
cat >z.c <<'C'
#include <zlib.h>
#include <stdio.h>
int main(void) { printf("crc %lx\n", crc32(0, (const unsigned char *)"rootlet", 7)); return 0; }
C
cc -o z z.c -lz && ./z
echo 'print("lua " .. 6 * 7)' >a.lua && lua a.lua && luac -o a.out a.lua && lua a.out
strace -e trace=writev ./hello 2>&1 >/dev/null | grep -c '^writev(1.*compiled'
END
    [ "$(grep -cx 'compiled 1.414 1024' said)" = 2 ] || { cat said; false; }
    grep -qx 'status 3' said
    grep -qx "crc $(python3 -c 'import zlib; print("%x" % zlib.crc32(b"rootlet"))')" said
    [ "$(grep -cx 'lua 42' said)" = 2 ]
    grep -qx 1 said
}

@test "rescue: a broken disk is looked into, mended and grown from inside" {
    skip_without_uml
    mkdir t
    echo precious >t/file
    rootlet pack -o broken.ext4 --size 16M t
    # A directory entry that leads nowhere, and a wrong count.
    debugfs -w -R 'clri /file' broken.ext4 2>/dev/null
    debugfs -w -R 'ssv free_blocks_count 7' broken.ext4 2>/dev/null
    rootlet pack -o small.ext4 --size 8M t
    truncate -s 32M small.ext4
    run -4 e2fsck -fn broken.ext4
    run_in rescue --disk broken.ext4 --disk small.ext4 <<'END'
e2fsck -fn /dev/ubdb >/dev/null; echo "broken $?"
e2fsck -fy /dev/ubdb >/dev/null; echo "mended $?"
e2fsck -fn /dev/ubdb >/dev/null; echo "sound $?"
e2fsck -fy /dev/ubdc >/dev/null && resize2fs /dev/ubdc >/dev/null; echo "grown $?"
mount /dev/ubdc /mnt/disk && cat /mnt/disk/file && umount /mnt/disk
debugfs -R 'stat <2>' /dev/ubdc | grep -c directory
END
    for line in 'broken 4' 'mended 1' 'sound 0' 'grown 0' precious 1; do
        grep -qx "$line" said || { cat said; false; }
    done
    fsck broken.ext4
    fsck small.ext4
    [ "$(rootlet info --json small.ext4 | python3 -c 'import json, sys; print(json.load(sys.stdin)["size"])')" = $((32 << 20)) ]
}

@test "kernel-test: the second disk's program runs, and its status is that of the run" {
    skip_without_uml
    mkdir t
    printf '#!/bin/sh\necho "testing $(uname -s) in $PWD"\nexit 42\n' >t/run
    chmod +x t/run
    rootlet pack -o test.ext4 --free 1M t
    rootlet build -q --recipes "$TOP" -o out kernel-test
    fsck out/root.ext4
    boot --recipes "$TOP" -o out kernel-test --disk test.ext4
    [ "$status" = 42 ] || { cat console err; false; }
    grep -q 'testing Linux in /test' console
    refute grep -E 'EXT4-fs (warning|error)|EXT4-fs \(ubd.\): (warning|error|recovery)' console
    fsck test.ext4
    boot --recipes "$TOP" -o out kernel-test
    [ "$status" = 127 ] || { cat console err; false; }
    grep -q 'there is no second disk' console
    fsck out/root.ext4
}

@test "linux-um: what a kernel for tests must have" {
    mkdir t
    cat >t/run <<'END'
#!/bin/sh
set -e
mkdir -p /tmp/lower /tmp/upper /tmp/work /tmp/all /tmp/cgroup
echo low >/tmp/lower/file
mount -t overlay -o lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work overlay /tmp/all
echo up >/tmp/all/file
[ "$(cat /tmp/lower/file) $(cat /tmp/upper/file)" = "low up" ]
mount -t cgroup2 none /tmp/cgroup
grep -q memory /tmp/cgroup/cgroup.controllers
grep -q pids /tmp/cgroup/cgroup.controllers
mount | grep -q '^devtmpfs on /dev type devtmpfs'
grep -q hostfs /proc/filesystems
for option in EXT4_FS_POSIX_ACL EXT4_FS_SECURITY UML_NET_VECTOR UML_TIME_TRAVEL_SUPPORT BLK_DEV_UBD HOSTFS; do
    zcat /proc/config.gz | grep -qx "CONFIG_$option=y"
done
unshare -Urn true
./glibc
echo "all is there"
END
    chmod +x t/run
    # The C library that is not musl looks at the vDSO before anything else.
    gcc -static -xc -o t/glibc - <<'END'
#include <sys/auxv.h>
#include <time.h>
int main(void) { return !getauxval(AT_SYSINFO_EHDR) || time(NULL) < 1000000000; }
END
    rootlet pack -o test.ext4 --free 1M t
    rootlet build -q --recipes "$TOP" -o out kernel-test
    boot --recipes "$TOP" -o out kernel-test --disk test.ext4
    [ "$status" = 0 ] || { cat console err; false; }
    grep -q 'all is there' console
    kernel=$(rootlet package linux-um)/boot/linux
    [ -z "$(readelf -lW "$kernel" | grep INTERP)" ]
    boot --recipes "$TOP" -o out kernel-test --disk test.ext4 --append time-travel
    [ "$status" = 0 ] || { cat console err; false; }
}
