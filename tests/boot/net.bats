#!/usr/bin/env bats
# A guest's network: what it reaches, how it is reached, and that the process behind it is no trouble to anybody.
load helper

TOP=$BATS_TEST_DIRNAME/../..

setup_file() {
    build_box <<'END'
summary   = "has programs for the network"
path "/etc/resolv.conf" { content = "nameserver 192.0.2.1\n" }
disk "root" { free = 48M }
END
    mkdir served
    head -c 20000000 /dev/urandom >served/blob
    echo hello >served/hello
    cat >serve.py <<'END'
import http.server, os, socket, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
sink = socket.create_server(('127.0.0.1', 0))
with open('ports.new', 'w') as f:
    print(server.server_address[1], sink.getsockname()[1], file=f)
os.rename('ports.new', 'ports')
if os.fork() == 0:
    os.chdir('served')
    server.serve_forever()
n = 0
while True:
    connection, _ = sink.accept()
    with open('sunk.new', 'wb') as f:
        while piece := connection.recv(1 << 20):
            f.write(piece)
    connection.close()
    os.rename('sunk.new', 'sunk%d' % n)
    n += 1
END
    # In a session of its own, to be ended as a whole.
    setsid python3 serve.py 3>&- &
    echo $! >server
    for _ in $(seq 200); do [ ! -e ports ] || break; sleep 0.1; done
    [ -e ports ]
}

teardown_file() {
    kill -- "-$(cat "$BATS_FILE_TMPDIR/server")"
}

setup() {
    mkdir "$BATS_TEST_TMPDIR/work" "$BATS_TEST_TMPDIR/tmp"
    cd "$BATS_TEST_TMPDIR/work"
    export TMPDIR=$BATS_TEST_TMPDIR/tmp
    cp "$BATS_FILE_TMPDIR/box/root.ext4" .
    read -r web sink <"$BATS_FILE_TMPDIR/ports"
}

# Runs a command in a guest with a network.
in_guest() { # [OPTION]... -- COMMAND [ARG]...
    timeout 100 "$ROOTLET" run -q --kernel "$kernel" --mem 96M --timeout 90 --net user root.ext4 "$@" 3>&-
}

# The processes of networks, of this test alone: they have its TMPDIR.
networks() {
    local pid
    for pid in $(pgrep -x rootlet-net || true); do
        ! tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qxF "TMPDIR=$TMPDIR" || echo "$pid"
    done
}

# All is over: no network, no run folder.
gone() {
    for _ in $(seq 50); do
        [ -n "$(networks)$(ls -A "$TMPDIR")" ] || return 0
        sleep 0.1
    done
    networks
    ls -A "$TMPDIR"
    false
}

# Starts a guest that says "up" and stays; sets job.
start() { # [OPTION]...
    timeout 100 "$ROOTLET" run -q --kernel "$kernel" --mem 96M --timeout 90 --net user "$@" root.ext4 -- \
        sh -c 'nc -lk -p 80 -e echo from the guest & echo up; read x; echo read "$x"' <input >out 2>err 3>&- &
    job=$!
}

started() {
    mkfifo input
    exec 7<>input
    start "$@"
    for _ in $(seq 300); do
        ! grep -q up out 2>/dev/null || return 0
        sleep 0.1
    done
    cat out err
    false
}

# Asks a port of this host until the guest answers.
ask() { # PORT
    local answer
    for _ in $(seq 20); do
        answer=$(python3 - "$1" <<'END' || true
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)
print(s.makefile().read(), end='')
END
        )
        [ -z "$answer" ] || { echo "$answer"; return 0; }
        sleep 0.2
    done
    false
}

free_port() { # [udp]
    python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if sys.argv[1:] else socket.SOCK_STREAM)
s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' "$@"
}

@test "without --net there is none" {
    run -0 rootlet run -q --kernel "$kernel" --timeout 60 root.ext4 -- sh -c 'ls /sys/class/net; ip route; cat /etc/resolv.conf'
    refute grep -q vec0 <<<"$output"
    refute grep -q default <<<"$output"
    grep -q 192.0.2.1 <<<"$output"
    gone
}

@test "a command has an address, a route and a resolver, and the disk stays as it was" {
    before=$(rootlet cat root.ext4:/etc/resolv.conf)
    in_guest -- sh -c 'ip -4 addr show vec0; ip route; cat /etc/resolv.conf; ping -c 1 10.0.2.2 >/dev/null; echo "ping $?"' >out
    grep -q 'inet 10.0.2.15/24' out
    grep -q '^default via 10.0.2.2 dev vec0' out
    grep -qx 'nameserver 10.0.2.3' out
    refute grep -q 192.0.2.1 out
    grep -qx 'ping 0' out
    [ "$(rootlet cat root.ext4:/etc/resolv.conf)" = "$before" ]
    fsck root.ext4
    gone
}

@test "a resolver also where /etc/resolv.conf leads nowhere, or is missing" {
    mkdir link
    ln -s ../run/systemd/resolve/stub-resolv.conf link/resolv.conf
    rootlet pack -q -o linked.ext4 --free 4M root.ext4 --at /etc link
    rootlet pack -q -o missing.ext4 --free 4M --exclude /etc/resolv.conf root.ext4
    for image in linked missing; do
        cp $image.ext4 root.ext4
        [ "$(in_guest -- cat /etc/resolv.conf)" = "nameserver 10.0.2.3" ]
        fsck root.ext4
    done
}

@test "DNS: the host's resolver answers" {
    skip_unless "getent ahostsv4 deb.debian.org" "this host resolves no names"
    in_guest -- nslookup deb.debian.org >out || { cat out; false; }
    grep -A 9 '^Name:' out | grep -q '^Address'
    in_guest -- nslookup nothing.invalid >out 2>&1 || true
    grep -q "10.0.2.3" out
    grep -qi "can't find\|NXDOMAIN" out
}

@test "large files in and out, byte by byte, and what listens on the host's 127.0.0.1" {
    in_guest -- sh -c "wget -q -O /tmp/blob http://10.0.2.2:$web/blob && sha256sum </tmp/blob && nc 10.0.2.2 $sink </tmp/blob" >sum
    [ "$(cat sum)" = "$(sha256sum <"$BATS_FILE_TMPDIR/served/blob")" ]
    cmp "$BATS_FILE_TMPDIR/sunk0" "$BATS_FILE_TMPDIR/served/blob"
}

@test "Debian's kernel has the network too" {
    skip_unless "command -v linux.uml" "no linux.uml"
    kernel=linux.uml in_guest -- wget -q -O - "http://10.0.2.2:$web/hello" >out
    [ "$(cat out)" = hello ]
}

@test "the device can be set down and up again" {
    in_guest -- sh -c "ip link set vec0 down && ip link set vec0 up && ip route add default via 10.0.2.2 &&
        wget -q -O - http://10.0.2.2:$web/hello" >out
    [ "$(cat out)" = hello ]
}

@test "a port of the host leads into the guest" {
    port=$(free_port)
    started --forward "$port:80"
    [ "$(ask "$port")" = "from the guest" ]
    # On this address only.
    refute python3 -c 'import socket, sys; socket.create_connection(("127.0.0.2", int(sys.argv[1])), 5)' "$port" 2>/dev/null
    echo bye >&7
    wait $job
    grep -qx 'read bye' out
    gone
    refute ask "$port"
}

@test "port 0 is one that is free, and told" {
    timeout 100 "$ROOTLET" run --kernel "$kernel" --mem 96M --forward 0:80 --forward 0.0.0.0:0:80/udp root.ext4 -- \
        sh -c 'nc -l -p 80 -e echo from the guest' >out 2>err 3>&- &
    job=$!
    for _ in $(seq 100); do [ "$(wc -l <err)" -lt 2 ] || break; sleep 0.1; done
    port=$(sed -n 's/^rootlet: 127.0.0.1:\([0-9]*\) leads to port 80 of the guest$/\1/p' err)
    grep -q '^rootlet: 0.0.0.0:[1-9][0-9]*/udp leads to port 80 of the guest$' err
    [ "$(ask "$port")" = "from the guest" ]
    wait $job
}

@test "UDP goes through as well" {
    port=$(free_port udp)
    mkfifo input
    exec 7<>input
    timeout 100 "$ROOTLET" run -q --kernel "$kernel" --mem 96M --forward "$port:9/udp" root.ext4 -- \
        sh -c 'nc -u -l -p 9 -w 30 >/tmp/said & echo up; while ! grep -q word /tmp/said; do usleep 10000; done; echo heard' <input >out 2>err 3>&- &
    job=$!
    for _ in $(seq 300); do
        ! grep -q heard out || break
        python3 -c 'import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"word\n", ("127.0.0.1", int(sys.argv[1])))' "$port"
        sleep 0.1
    done
    wait $job
    grep -q heard out
}

@test "a port that is in use is an error before the boot" {
    read -r web sink <"$BATS_FILE_TMPDIR/ports"
    run --separate-stderr rootlet run --kernel "$kernel" --forward "$web:80" root.ext4
    failed 1 "127.0.0.1:$web: listen: Address already in use"
    [ -z "$output" ]
    run --separate-stderr rootlet run --kernel "$kernel" --forward 0:80 --forward "$web:80" root.ext4 -- true
    failed 125 "127.0.0.1:$web: listen: Address already in use"
    run --separate-stderr rootlet run --kernel "$kernel" --forward 192.0.2.77:0:80 root.ext4
    failed 1 "192.0.2.77:0: listen: Cannot assign requested address"
    gone
}

@test "forwards and networks that are none" {
    for word in 22 a:22 22:b 22:0 65536:22 1:65536 1:2/sctp x:1:2 1.2.3:1:2 :1:2 ::1:1:2 ''; do
        run --separate-stderr rootlet run --forward "$word" root.ext4
        failed 2 "--forward '$word' "
    done
    run --separate-stderr rootlet run --net bridge root.ext4
    failed 2 "--net takes none or user, not 'bridge'"
    run --separate-stderr rootlet run --net none --forward 0:22 root.ext4
    failed 2 "--forward needs --net user"
    run --separate-stderr rootlet run --kernel "$kernel" --net user --append vec0:transport=tap,ifname=x root.ext4
    failed 1 "vec0 is the guest's network already"
}

@test "the hardware address is of the name" {
    for name in one two one; do
        cp "$BATS_FILE_TMPDIR/box.conf" $name.conf
        rootlet run -q --kernel "$kernel" --net user -o "$BATS_FILE_TMPDIR/box" $name.conf -- cat /sys/class/net/vec0/address >>out
    done
    [ "$(sed -n 1p out)" = "$(sed -n 3p out)" ]
    [ "$(sed -n 1p out)" != "$(sed -n 2p out)" ]
    # Locally administered, not a group.
    grep -c '^.[26ae]:' out | grep -qx 3
}

@test "the network ends with rootlet, however that ends" {
    started
    pid=$(pgrep -P $job -x rootlet)
    [ "$(networks | wc -l)" = 1 ]
    kill -9 "$pid"
    wait $job || true
    gone
}

@test "the network ends with the guardian" {
    started
    pid=$(pgrep -P $job -x rootlet)
    kill -9 "$(pgrep -P "$pid" -x guest-guardian)"
    status=0
    wait $job || status=$?
    [ "$status" = 125 ]
    gone
}

@test "kills at any moment leave no network" {
    for moment in 0 0.005 0.01 0.02 0.04 0.08 0.16; do
        timeout 100 "$ROOTLET" run -q --kernel "$kernel" --forward 0:80 root.ext4 -- sleep 60 >out 2>err </dev/null 3>&- &
        job=$!
        sleep $moment
        pid=$(pgrep -P $job -x rootlet || true)
        [ -z "$pid" ] || kill -9 "$pid"
        [ -n "$pid" ] || kill $job
        wait $job || true
        gone
    done
}

@test "a guest goes on without its network, and with one that stands still" {
    for signal in KILL STOP; do
        rm -f input out
        started
        kill -$signal "$(networks)"
        # The guest's side still talks to it.
        echo word >&7
        status=0
        wait $job || status=$?
        cat out err
        [ "$status" = 0 ]
        grep -qx 'read word' out
        gone
    done
    for signal in KILL STOP; do
        (sleep 3; kill -$signal "$(networks)") 3>&- &
        run -0 in_guest -- sh -c 'ping -c 2 10.0.2.2 >/dev/null; (head -c 3000000 /dev/zero | nc -w 3 10.0.2.2 '"$sink"') & usleep 5000000; ping -s 1400 -c 30 -A -W 1 10.0.2.2 >/dev/null & usleep 2000000; echo alive'
        [ "$output" = alive ]
        wait
        gone
    done
}

@test "the process of the network has no rights, no descriptors and no files" {
    started
    pid=$(networks)
    grep -q '^NoNewPrivs:.*1$' "/proc/$pid/status"
    grep -q '^CapEff:.*0000000000000000$' "/proc/$pid/status"
    # 0, 1, 2 are /dev/null; else there are sockets only.
    ls -l "/proc/$pid/fd" | sed -n 's/.* -> //p' >open
    refute grep -v '^/dev/null$\|^socket:' open
    echo bye >&7
    wait $job
}

@test "net: reached from the host by SSH, with the key and no other" {
    skip_unless "command -v ssh" "no ssh"
    ssh-keygen -q -t ed25519 -N '' -f key
    ssh-keygen -q -t ed25519 -N '' -f other
    rootlet build -q --recipes "$TOP" --set key="$(cat key.pub)" -o net net
    grep -q '^run.*net = user.*forward = .*"2222:22"' "$TOP/recipes/images/net.conf"
    mkfifo input
    exec 7<>input
    timeout 200 "$ROOTLET" run --recipes "$TOP" --kernel "$kernel" -o net --forward 0:22 net <input >console 2>err 3>&- &
    job=$!
    for _ in $(seq 100); do ! grep -q leads err || break; sleep 0.1; done
    port=$(sed -n 's/^rootlet: 127.0.0.1:\([0-9]*\) leads to port 22 of the guest$/\1/p' err)
    [ -n "$port" ]
    remote() {
        ssh -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o LogLevel=ERROR \
            -o IdentitiesOnly=yes -o ConnectTimeout=10 -p "$port" -i "$@" 3>&-
    }
    for _ in $(seq 60); do
        ! remote key root@127.0.0.1 true 2>/dev/null || break
        sleep 0.5
    done
    [ "$(remote key root@127.0.0.1 'cat /etc/hostname; ip -4 addr show vec0 | grep -o 10.0.2.15; exit 7' || echo $?)" = "$(printf 'net\n10.0.2.15\n7')" ]
    head -c 8000000 "$BATS_FILE_TMPDIR/served/blob" >blob
    remote key root@127.0.0.1 'cat >/root/blob' <blob
    remote key root@127.0.0.1 'cat /root/blob' | cmp - blob
    refute remote other root@127.0.0.1 true 2>/dev/null
    remote key root@127.0.0.1 poweroff || true
    wait $job
    fsck net/root.ext4
    gone
}
