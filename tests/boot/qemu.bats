#!/usr/bin/env bats
# `rootlet run --vm qemu`: the roots that boot under UML, under a distribution's kernel in a virtual machine. By software
# emulation, which is there wherever QEMU is. ROOTLET_QEMU_KERNEL names a kernel that has its modules in ../lib/modules, as in
# an unpacked package of Debian's; otherwise the one in /boot is taken.
load helper

find_kernel() {
    local k
    for k in "${ROOTLET_QEMU_KERNEL:-}" /boot/vmlinuz-*; do
        [ ! -r "$k" ] || [ ! -d "$(dirname "$k")/../lib/modules" ] || realpath "$k"
    done | tail -n 1
}

setup_file() {
    export TOP=$BATS_TEST_DIRNAME/../.. ROOT=$BATS_FILE_TMPDIR/demo KERNEL=
    KERNEL=$(find_kernel)
    [ -n "$KERNEL" ] || return 0
    rootlet build -q --recipes "$TOP" -o "$ROOT" demo >"$BATS_FILE_TMPDIR/log" 2>&1 ||
        { cat "$BATS_FILE_TMPDIR/log" >&2; return 1; }
}

# What a test that fails leaves running.
teardown() {
    local pid
    for pid in ${job:-} ${server:-}; do kill "$pid" 2>/dev/null || true; done
}

# QEMU is not among what the tests need, so this is a skip in CI too.
prepare() {
    command -v qemu-system-x86_64 >/dev/null || skip "qemu-system-x86_64 is not installed"
    [ -n "$KERNEL" ] || skip "no kernel for x86-64 with its modules: ROOTLET_QEMU_KERNEL or /boot/vmlinuz-*"
    cp --sparse=always "$ROOT/root.ext4" root
    mkdir tmp
    export TMPDIR=$PWD/tmp
}

in_qemu() {
    timeout 500 "$ROOTLET" run --vm qemu --accel tcg --kernel "$KERNEL" "$@" 3>&-
}

# rootlet itself, which is below in_qemu and its timeout(1).
runner() {
    pgrep -P "$(pgrep -P "$job" -x timeout)"
}

wait_for() { # TEXT FILE
    local i
    for i in $(seq 3000); do
        ! grep -q "$1" "$2" || return 0
        sleep 0.1
    done
    cat "$2"
    false
}

# The processes that serve a guest of this test's, which have its TMPDIR.
servers() {
    local pid
    for pid in $(pgrep -x 'rootlet-(net|disk)' || true); do
        ! tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qxF "TMPDIR=$TMPDIR" || echo "$pid"
    done
}

# The disk is as in a guest that went down in order.
clean() {
    fsck "$1"
    dumpe2fs -h "$1" >super 2>&1
    refute grep needs_recovery super
}

@test "a command's bytes, status and disks" {
    prepare
    cp --sparse=always "$ROOT/data.ext4" data
    head -c 1048576 /dev/urandom >in
    status=0
    in_qemu --disk data --log log --collect /mnt/data/kept=kept --env A='b "c' root -- sh -c \
        'cat; echo "$A" >&2; uname -r >/mnt/data/kept; exit 42' <in >out 2>err || status=$?
    [ "$status" = 42 ] || { echo "status $status"; cat err; false; }
    cmp in out
    [ "$(cat err)" = 'b "c' ]
    [ "$(cat kept)" = "$(grep -aom1 'Linux version [^ ]*' log | cut -d ' ' -f 3)" ]
    clean root
    clean data
    nothing_left
}

@test "a guest's own init: its console, a power-off, its own disks under UML's names, an address by DHCP" {
    prepare
    cat >own.conf <<'END'
summary   = "demo with a network"
packages  = { "busybox" }
skeletons = { "base", "demo", "net" }
path "/mnt/data" { type = dir }
path "/etc/ready.d/address" { source = "address"  mode = 0755 }
disk "root" { free = 16M }
disk "data" { label = "data"  size = 64M  mount = "/mnt/data" }
network { address = dhcp }
service "network" { command = "/sbin/ifup -a"  action = once }
run { append = { "rootlet.demo=1" }  net = user }
END
    cat >address <<'END'
#!/bin/sh
# The resolver comes last.
for i in $(seq 100); do
    ! grep nameserver /etc/resolv.conf || break
    usleep 100000
done
ip -4 addr show vec0
END
    rootlet build -q --recipes "$TOP" -o own own.conf
    status=0
    in_qemu --recipes "$TOP" -o own --timeout 450 own.conf </dev/null >console 2>err || status=$?
    [ "$status" = 0 ] || { echo "status $status"; cat err; tail console; false; }
    [ ! -s err ]
    grep -q 'Power down' console
    grep -q 'inet 10.0.2.15/24' console
    grep -q 'nameserver 10.0.2.3' console
    [ "$(rootlet cat own/data.ext4:/foo.txt)" = "This is a UML test!" ]
    clean own/root.ext4
    clean own/data.ext4
    nothing_left
}

# A server of this host; sets web, its port, and server, to be killed.
serve() { # FOLDER
    python3 -c 'import http.server, os, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass
os.chdir(sys.argv[1])
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()' "$1" >port 3>&- &
    server=$!
    wait_for . port
    web=$(cat port)
}

@test "a network, with a port of this host's; what the guest writes is forgotten" {
    prepare
    cp -p root kept
    mkdir served
    head -c 5000000 /dev/urandom >served/blob
    serve served
    chmod a-w root
    in_qemu --ephemeral --net user --forward 0:80 root -- sh -c "
        head -c 8000000 /dev/urandom >/root/large && rm /etc/passwd && sync && fstrim / && rm /root/large && sync
        ip -4 addr show vec0; ip route; cat /etc/resolv.conf; cat /sys/class/net/vec0/mtu
        wget -q -O - http://10.0.2.2:$web/blob | sha256sum
        nc -lk -p 80 -e echo from the guest &
        echo up; read x; exit 5" < <(wait_for done asked >/dev/null; echo) >out 2>err &
    job=$!
    wait_for up out
    port=$(sed -n 's/^rootlet: 127.0.0.1:\([0-9]*\) leads to port 80 of the guest$/\1/p' err)
    for _ in $(seq 50); do
        answer=$(python3 -c 'import socket, sys
print(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5).makefile().read(), end="")' "$port" || true)
        [ -z "$answer" ] || break
        sleep 0.2
    done
    # Others may read the image now, and not write to it.
    run --separate-stderr rootlet run --vm qemu --accel tcg --kernel "$KERNEL" root
    refused=$status$stderr
    rootlet ls root:/ >list
    rootlet ps --json >guests
    echo done >asked
    status=0
    wait "$job" || status=$?
    kill "$server"
    [ "$status" = 5 ] || { echo "status $status"; cat err; false; }
    [ "$answer" = "from the guest" ]
    [ "$refused" = "1rootlet: root: use as a disk: in use by another process" ] || [ "$(id -u)" != 0 ]
    grep -q '"name": "root"' guests
    grep -q 'inet 10.0.2.15/24' out
    grep -q '^default via 10.0.2.2 dev vec0' out
    grep -qx 'nameserver 10.0.2.3' out
    grep -qx 15872 out
    grep -qF "$(sha256sum <served/blob)" out
    cmp root kept
    [ "$(stat -c %y root)" = "$(stat -c %y kept)" ]
    nothing_left
}

@test "COW files, in which UML and QEMU go on where the other has stopped" {
    prepare
    cp --sparse=always "$ROOT/data.ext4" data
    rootlet cow create -q data.cow data
    uml() {
        ! command -v linux.uml >/dev/null || rootlet run -q --timeout 100 "$@" 3>&-
    }
    uml root --disk data.cow -- sh -c 'echo words of UML >/mnt/data/uml'
    cp -p root kept
    status=0
    in_qemu --snapshot root.cow root --disk data.cow -- sh -c '
        cat /mnt/data/uml; echo words of QEMU | tee /root/new >/mnt/data/new
        head -c 8000000 /dev/zero | tr "\0" x >/root/large; sync; rm /root/large; fstrim /
        head -c 3000000 /dev/urandom >/root/random; md5sum /root/random >/root/sums' </dev/null >out 2>err || status=$?
    [ "$status" = 0 ] || { echo "status $status"; cat err; false; }
    nothing_left
    cmp root kept
    [ "$(stat -c %y root)" = "$(stat -c %y kept)" ]
    cmp data "$ROOT/data.ext4"
    [ "$(rootlet cat root.cow:/root/new data.cow:/new)" = "$(printf 'words of QEMU\n%.0s' 1 2)" ]
    rootlet cow diff root.cow >list
    grep -q ' /root/random$' list
    for cow in root data; do
        rootlet cow commit -q -o merged $cow.cow
        clean merged
    done
    command -v linux.uml >/dev/null || return 0
    [ "$(cat out)" = 'words of UML' ]
    uml root.cow --disk data.cow -- sh -c 'md5sum -c /root/sums; cat /mnt/data/new' >out
    [ "$(cat out)" = $'/root/random: OK\nwords of QEMU' ]
}

@test "further consoles are serial lines, and ptys of this host" {
    prepare
    in_qemu --consoles 3 --append rootlet.demo=0 --timeout 450 root </dev/null >console 2>err &
    job=$!
    wait_for 'login: ' console
    for i in 1 3; do
        pty=$(sed -n "s,^rootlet: root: ttyS$i is \(/dev/pts/[0-9]*\)\$,\1,p" err)
        timeout 200 python3 "$BATS_TEST_DIRNAME/attach.py" "$pty" '\n' 'login: ' 'root\n' '# ' 3>&-
        timeout 200 python3 "$BATS_TEST_DIRNAME/attach.py" "$pty" 'tty\n' "/dev/ttyS$i\r\n" 3>&-
    done
    timeout 200 python3 "$BATS_TEST_DIRNAME/attach.py" "$pty" 'poweroff\n' HANGUP 3>&-
    status=0
    wait "$job" || status=$?
    [ "$status" = 0 ]
    clean root
    nothing_left
}

@test "a panic is told, and its disk can be repaired" {
    prepare
    status=0
    # What is written just before a panic may still be on its way.
    in_qemu root -- sh -c 'echo before; sleep 1; echo c >/proc/sysrq-trigger; sleep 100' </dev/null >out 2>err || status=$?
    [ "$status" = 125 ] || { echo "status $status"; cat err; false; }
    [ "$(cat out)" = before ]
    [ "$(head -n 1 err)" = 'rootlet: sh: run: kernel panic: sysrq triggered crash' ] || { cat err; false; }
    nothing_left
    e2fsck -fy root >/dev/null || [ $? = 1 ]
    fsck root
}

@test "signals reach the command; its disk is locked, for UML too; the guest is listed" {
    prepare
    in_qemu root -- sh -c 'trap "echo caught; exit 7" TERM; echo up; sleep 600 & wait' </dev/null >out 2>err &
    job=$!
    wait_for up out
    run --separate-stderr rootlet run --kernel /bin/true root
    failed 1 "root: use as a disk: in use by another process"
    run --separate-stderr rootlet run --vm qemu --accel tcg --kernel "$KERNEL" root
    failed 1 "root: use as a disk: in use by another process"
    rootlet ps --json | grep -qF "$PWD/root"
    kill -TERM "$(runner)"
    status=0
    wait "$job" || status=$?
    [ "$status" = 7 ] || { echo "status $status"; cat err; false; }
    [ "$(cat out)" = $'up\ncaught' ]
    clean root
    nothing_left
}

@test "nothing is left of a guest that is killed, nor of one whose time is over" {
    prepare
    status=0
    in_qemu --timeout 2 root -- sleep 600 </dev/null >out 2>err || status=$?
    [ "$status" = 124 ]
    nothing_left
    rootlet cow create -q root.cow root
    in_qemu --net user root.cow </dev/null >console 2>err &
    job=$!
    wait_for 'Linux version' console
    [ "$(in_run_folders | wc -l)" = 1 ]
    [ "$(servers | wc -l)" = 2 ]
    for pid in $(servers); do
        grep -q '^NoNewPrivs:.*1$' "/proc/$pid/status"
        grep -q '^CapEff:.*0000000000000000$' "/proc/$pid/status"
    done
    kill -KILL "$(runner)"
    nothing_left
    [ -z "$(servers)" ]
    rootlet check -q root.cow
}

@test "with an initramfs of the user's" {
    prepare
    folder=$(dirname "$KERNEL")/../lib/modules/$(ls "$(dirname "$KERNEL")/../lib/modules" | tail -n 1)
    mkdir -p initrd/{dev,proc,mnt}
    gcc -O1 -static -o initrd/init "$TOP/tests/boot/initramfs.c"
    # In the order in which they need each other, as far as this kernel has them.
    for m in virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk virtio_console \
        crc16 mbcache jbd2 crc32c_generic ext4 failover net_failover virtio_net; do
        file=$(find "$folder/kernel" -name "$m.ko" -o -name "${m//_/-}.ko")
        [ -z "$file" ] || { cp "$file" initrd/; echo "/$(basename "$file")" >>initrd/load; }
    done
    [ -s initrd/load ] || skip "this kernel's modules are compressed, or built in"
    (cd initrd && find . | bsdcpio -o -H newc 2>/dev/null | gzip >../initrd.img)
    status=0
    in_qemu --initrd initrd.img --net user root -- sh -c 'cat; ip -4 addr show vec0 | grep -o 10.0.2.15; exit 9' \
        <<<text >out 2>err || status=$?
    [ "$status" = 9 ] || { echo "status $status"; cat err; false; }
    [ "$(cat out)" = $'text\n10.0.2.15' ]
    clean root
    nothing_left
}

@test "a kernel without its modules says what it lacks" {
    prepare
    version=$(ls "$(dirname "$KERNEL")/../lib/modules" | tail -n 1)
    [ ! -d "/lib/modules/$version" ] || skip "this system has the modules of that kernel"
    mkdir boot
    cp "$KERNEL" boot/vmlinuz
    status=0
    timeout 500 "$ROOTLET" run --vm qemu --accel tcg --kernel boot/vmlinuz root </dev/null >console 2>err || status=$?
    [ "$status" = 1 ]
    [ "$(cat err)" = "rootlet: $PWD/boot/vmlinuz: boot: /dev/ubda: there is no such disk, or no driver of it in the kernel \
and its modules; no modules were found for $version" ] || { cat err; false; }
    nothing_left
}

@test "what is refused before anything is started" {
    printf 'x%.0s' $(seq 70000) >image
    run --separate-stderr rootlet run --vm xen image
    failed 2 "--vm takes uml or qemu, not 'xen'"
    run --separate-stderr rootlet run --vm qemu image
    failed 2 "--vm qemu needs a kernel for x86-64: --kernel"
    run --separate-stderr rootlet run --initrd x image
    failed 2 "--initrd is for --vm qemu"
    run --separate-stderr rootlet run --vm qemu --accel hvf --kernel x image
    failed 2 "--accel takes kvm or tcg, not 'hvf'"
    run --separate-stderr env PATH=/nowhere "$ROOTLET" run --vm qemu --kernel image image
    failed 1 "qemu-system-x86_64: find: there is no such program in PATH"
    mkdir bin
    printf '#!/bin/sh\n' >bin/qemu-system-x86_64
    chmod 755 bin/qemu-system-x86_64
    PATH=$PWD/bin:$PATH
    run --separate-stderr rootlet run --vm qemu --kernel image image
    failed 1 "image: read kernel: it is not a Linux kernel for x86"
    run --separate-stderr rootlet run --vm qemu --kernel /nowhere/k image
    failed 1 "/nowhere/k: find kernel: No such file or directory"
    run --separate-stderr rootlet run --vm qemu --kernel /nowhere/k image -- true
    failed 125 "/nowhere/k: find kernel: No such file or directory"
    # What only UML can do.
    run --separate-stderr rootlet run --vm qemu --kernel image --share . image
    failed 1 "--share: run under QEMU: only UML's guests see folders of the host"
    run --separate-stderr rootlet run --vm qemu --kernel image --gdb image
    failed 1 "--gdb: run under QEMU"
    run --separate-stderr rootlet run --vm qemu --kernel image --time-travel image
    failed 1 "time-travel: run under QEMU: only UML has such a clock"
    # The beginning of a bzImage: one sector of setup, "HdrS", and where the version is.
    { head -c 497 /dev/zero; printf '\1'; head -c 16 /dev/zero; printf HdrS; head -c 8 /dev/zero; printf '\20\0'
        printf '9.9.9-test (somebody) #1\0'; head -c 1000 /dev/zero; } >kernel
    mkdir modules
    run --separate-stderr rootlet run --vm qemu --kernel kernel --modules modules image
    failed 1 "modules: find modules: there is neither modules.dep nor modules.order of 9.9.9-test"
    # QEMU that ends without a word, and with one.
    printf '#!/bin/sh\nexit 3\n' >bin/qemu-system-x86_64
    run --separate-stderr rootlet run --vm qemu --kernel kernel image
    failed 1 "qemu-system-x86_64: start: exit status 3"
    printf '#!/bin/sh\necho "no such accelerator" >&2\nexit 1\n' >bin/qemu-system-x86_64
    run --separate-stderr rootlet run --vm qemu --kernel kernel image
    failed 1 "qemu-system-x86_64: start: no such accelerator"
}
