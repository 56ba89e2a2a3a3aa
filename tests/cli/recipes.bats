#!/usr/bin/env bats
# The recipe language, and the verbs about recipes, with small packages of the tests' own.
load helper

setup() {
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work"
    unset SOURCE_DATE_EPOCH ROOTLET_PATH ROOTLET_OFFLINE ROOTLET_MIRROR
    umask 022
    export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
    # Not beside the recipes that rootlet brings.
    cp "$ROOTLET" "$BATS_TEST_TMPDIR/rootlet"
    ROOTLET=$BATS_TEST_TMPDIR/rootlet
}

skip_without_sandbox() {
    skip_unless "bwrap --unshare-all --ro-bind / / true" "no sandbox"
}

# A package with more lines for its recipe; the script is on standard input.
package() {
    mkdir -p "recipes/packages/$1"
    printf 'summary = "package %s"\nversion = "1"\nlicense = "MIT"\n%s\n' "$1" "$2" >"recipes/packages/$1/recipe.conf"
    cat >"recipes/packages/$1/build.sh"
}

# An image's recipe from standard input.
image() {
    mkdir -p recipes/images
    { echo "summary = \"image $1\""; cat; } >"recipes/images/$1.conf"
}

two_packages() {
    package lib '' <<<'mkdir -p "$OUT/usr/lib" "$OUT/usr/include"; echo a >"$OUT/usr/lib/liba.a"; echo h >"$OUT/usr/include/a.h"
        mkdir -p "$OUT/usr/share/licenses/lib"; echo "the text" >"$OUT/usr/share/licenses/lib/COPYING"'
    mkdir -p mirror
    echo data >mirror/data-1
    package tool "build-needs = { \"lib\" }
homepage = \"https://example.org/\"
source \"data-{version}\" {
    sha256 = \"$(sha256sum <mirror/data-1 | cut -d' ' -f1)\"
    urls   = { \"https://example.invalid/data-{version}\" }
}" <<<'mkdir -p "$OUT/bin" "$OUT/etc"; cp "$SRC/data-1" "$OUT/bin/tool"; echo t >"$OUT/etc/tool.conf"; chmod +x "$OUT/bin/tool"'
    export ROOTLET_MIRROR=$PWD/mirror
}

@test "all mistakes of a file at once" {
    cat >bad.conf <<'END'
summary = "x"
hostnam = "y"
packages = { "A", "b b" }
user "me" { uid = x  shell = "sh" }
user "you" { colour = red  uid = 5 }
disk "root" { fs = "xfs"  size = 0 }
nonsense "x" { a = 1  b = { 2, 3 } }
service "s" { action = never }
hostname = "a"
hostname = "b"
path "relative" { type = dir }
END
    run -1 --separate-stderr rootlet check-recipe bad.conf
    for line in "2: .*unknown key 'hostnam'" "3: .*packages 'A'" "3: .*packages 'b b'" "4: .*uid 'x'" "4: .*shell 'sh'" \
        "5: .*unknown key 'colour'" "6: .*fs 'xfs'" "6: .*size is 0" "7: .*unknown key 'nonsense'" \
        "8: .*'command' is missing" "8: .*action 'never'" "10: .*'hostname' is given twice" "11: .*path 'relative'"; do
        grep -q "^rootlet: bad.conf:$line" <<<"$stderr" || { echo "no $line in $stderr"; return 1; }
    done
    grep -q '^rootlet: bad.conf: 13 mistakes$' <<<"$stderr"
    run -1 --separate-stderr rootlet build bad.conf
    [ "$(grep -c '^rootlet: bad.conf:' <<<"$stderr")" = 13 ]
    two_packages
    image good <<<'packages = { "tool" }'
    rootlet check-recipe good tool lib recipes/images/good.conf recipes/packages/lib/recipe.conf
    image missing <<<'packages = { "tool", "no", "nor:dev" }
skeletons = { "not" }'
    run -1 --separate-stderr rootlet check-recipe missing
    [ "$(grep -c 'there is no' <<<"$stderr")" = 3 ]
}

@test "one recipe includes another, adds to it, changes it, and leaves out" {
    mkdir -p skeleton/one/etc skeleton/two/etc
    echo 1 >skeleton/one/etc/one
    echo 2 >skeleton/two/etc/two
    image base <<'END'
hostname = "base"
skeletons = { "one", "two" }
path "/a" { content = "a" }
user "me" { uid = 1234  gecos = "from base" }
disk "root" { label = "lab"  free = 1M }
disk "data" { size = 1M }
run { mem = 64M  append = { "one" } }
END
    cat >mine.conf <<'END'
include = "base"
without = { "two" }
hostname = "mine"
path "/a" { content = "b" }
path "/c" { content = "c" }
user "me" { gecos = "mine" }
user "you" { }
disk "data" { size = 2M }
END
    rootlet build -q -o out mine.conf
    [ "$(rootlet cat out/root.ext4:/etc/hostname)" = mine ]
    [ "$(rootlet cat out/root.ext4:/a)" = b ]
    [ "$(rootlet cat out/root.ext4:/c)" = c ]
    [ "$(rootlet cat out/root.ext4:/etc/one)" = 1 ]
    run -1 rootlet cat out/root.ext4:/etc/two
    rootlet cat out/root.ext4:/etc/passwd | grep -qx 'me:x:1234:1234:mine:/home/me:/bin/sh'
    rootlet cat out/root.ext4:/etc/passwd | grep -qx 'you:x:1000:1000::/home/you:/bin/sh'
    rootlet info out/root.ext4 | grep -q lab
    [ "$(stat -c %s out/data.ext4)" = 2097152 ]
    # A change to what is included is seen; and errors name the file that they are in.
    sed -i 's/"a"/"changed"/; s/^path/path "\/d" { content = "d" }\npath/' recipes/images/base.conf
    rootlet build -q -o out mine.conf
    [ "$(rootlet cat out/root.ext4:/d)" = d ]
    echo 'path "/gone" { mode = 0600 }' >>recipes/images/base.conf
    run -1 --separate-stderr rootlet build -q -o out mine.conf
    failed 1 "recipes/images/base.conf:10: change: there is no such path"
    printf 'summary = "s"\ninclude = "round.conf"\n' >round.conf
    run -1 --separate-stderr rootlet build -q -o out round.conf
    failed 1 "round in a circle"
    printf 'include = "base"\nwithout = { "three" }\n' >mine.conf
    run -1 --separate-stderr rootlet check-recipe mine.conf
    grep -q "mine.conf:2: .*without 'three'" <<<"$stderr"
}

@test "variables: defaults, --set, and what is not one" {
    cat >v.conf <<'END'
summary = "{who}'s system"
variable "who"  { value = "nobody" }
variable "size" { value = "1M" }
hostname = "{who}"
path "/f" { content = "{who} has {size}, {} and {other}\n" }
disk "root" { free = "{size}" }
END
    rootlet build -q -o out v.conf
    [ "$(rootlet cat out/root.ext4:/f)" = 'nobody has 1M, {} and {other}' ]
    rootlet build -q --set who=me --set size=2M -o out v.conf
    [ "$(rootlet cat out/root.ext4:/f)" = 'me has 2M, {} and {other}' ]
    [ "$(rootlet cat out/root.ext4:/etc/hostname)" = me ]
    run -0 --separate-stderr rootlet build --set who=me --set size=2M -o out v.conf
    [[ $stderr == *"nothing to do"* ]]
    run -0 --separate-stderr rootlet build --explain --set who=you --set size=2M -o out v.conf
    [[ $stderr == *"to be written: variable who changed"* ]]
    run -1 --separate-stderr rootlet build --set what=me -o out v.conf
    failed 1 "what: set variable: the recipe has no variable of that name"
    run -2 --separate-stderr rootlet build --set me -o out v.conf
    failed 2 "--set takes NAME=VALUE, not 'me'"
    run -1 --separate-stderr rootlet build --set size=big -o out v.conf
    failed 1 "v.conf:6: read recipe: free 'big' is no size"
}

@test "hostname, time zone, network, ssh keys" {
    skip_unless "[ -e /usr/share/zoneinfo/Europe/Berlin ]" "no time zones"
    cat >s.conf <<'END'
summary = "s"
timezone = "Europe/Berlin"
network { interface = eth0  address = "10.1.2.3/20"  gateway = "10.1.0.1"  dns = { "10.1.0.2", "fd00::2" } }
user "me" { ssh-keys = { "ssh-ed25519 AAAA me", "no-pty ssh-rsa BBBB you" } }
END
    rootlet build -q -o out s.conf
    rootlet cat out/root.ext4:/etc/localtime | cmp - /usr/share/zoneinfo/Europe/Berlin
    [ "$(rootlet cat out/root.ext4:/etc/network/interfaces)" = "$(printf 'auto eth0\niface eth0 inet static\n\taddress 10.1.2.3\n\tnetmask 255.255.240.0\n\tgateway 10.1.0.1')" ]
    [ "$(rootlet cat out/root.ext4:/etc/resolv.conf)" = $'nameserver 10.1.0.2\nnameserver fd00::2' ]
    [ "$(rootlet cat out/root.ext4:/home/me/.ssh/authorized_keys)" = $'ssh-ed25519 AAAA me\nno-pty ssh-rsa BBBB you' ]
    rootlet ls -l out/root.ext4:/home/me/.ssh/authorized_keys | grep -q '^-rw------- .* 1000  1000 '
    for bad in 'timezone = "../../../etc/passwd"' 'timezone = "Not/There"' 'network { address = "10.1.2.3" }' \
        'network { address = dhcp  gateway = "10.0.0.1" }' 'network { address = "10.0.0.1/33" }' \
        'user "x" { ssh-keys = { "-----BEGIN OPENSSH PRIVATE KEY-----" } }'; do
        printf 'summary = "s"\n%s\n' "$bad" >bad.conf
        run -1 --separate-stderr rootlet build -q -o bad bad.conf
        [ "$(wc -l <<<"$stderr")" = 1 ]
    done
}

@test "parts: images have what they name, and what that needs" {
    skip_without_sandbox
    two_packages
    image plain <<<'packages = { "tool" }'
    rootlet build -q -o out plain
    [ "$(rootlet ls out/root.ext4:/ | xargs)" = "bin etc lost+found" ]
    image more <<<'packages = { "tool", "lib:dev", "lib:licenses" }'
    rootlet build -q -o out more
    [ "$(rootlet ls out/root.ext4:/usr | xargs)" = "include lib share" ]
    sed -i 's/build-needs/needs/' recipes/packages/tool/recipe.conf
    rootlet build -q -o out plain
    # Its own part is empty, so nothing is left of lib.
    run -1 rootlet ls out/root.ext4:/usr/lib/liba.a
    sed -i 's/"lib" }/"lib:dev" }/' recipes/packages/tool/recipe.conf
    rootlet build -q -o out plain
    rootlet ls out/root.ext4:/usr/lib/liba.a
    image wrong <<<'packages = { "lib:docs" }'
    run -1 --separate-stderr rootlet build -q -o out wrong
    failed 1 "lib:docs: find package: it has no part 'docs'"
}

@test "why, size, graph, licenses" {
    skip_without_sandbox
    two_packages
    mkdir -p skeleton/base/etc
    echo mine >skeleton/base/etc/tool.conf
    echo 'rule "/etc/*" { mode = 0600 }' >skeleton/base.conf
    image i <<'END'
packages = { "tool" }
skeletons = { "base" }
path "/bin/tool" { mode = 4755 }
path "/made" { content = "x" }
END
    run -0 --separate-stderr rootlet why i /etc/tool.conf
    [ "$output" = "file /etc/tool.conf
  from      skeleton/base
  replacing package tool
  changed   skeleton/base.conf:1: rule \"/etc/*\": mode 0600" ]
    run -0 --separate-stderr rootlet why i /bin/tool
    [[ $output == *"from      package tool"*"changed   recipes/images/i.conf:4: path \"/bin/tool\""* ]]
    run -0 --separate-stderr rootlet why i /made
    [[ $output == *"from      recipes/images/i.conf:5"* ]]
    run -0 --separate-stderr rootlet why i lib
    [ "$output" = "package lib: to build what is in the image
  recipes/images/i.conf: packages = { \"tool\" }
  recipes/packages/tool/recipe.conf: build-needs = { \"lib\" }" ]
    rootlet why --json i /etc/tool.conf | python3 -c 'import json, sys; w = json.load(sys.stdin); assert w["sources"] == ["skeleton/base", "package tool"], w'
    run -1 --separate-stderr rootlet why i /no
    failed 1 "/no: find: it is not in the image of i"
    run -1 --separate-stderr rootlet why i nothing
    failed 1 "nothing: find: i does not need a package of that name"
    run -0 --separate-stderr rootlet size -d 2 i
    [[ $output == *"4.0K "*"  package tool"* ]]
    rootlet size --json i | python3 -c 'import json, sys; s = json.load(sys.stdin); assert s["bytes"] == sum(r["bytes"] for r in s["sources"]) > 0'
    run -0 --separate-stderr rootlet graph i
    [[ $output == *'"tool" -> "lib" [style=dashed]'* ]]
    [[ $output == *'"image i" -> "skeleton/base"'* ]]
    if command -v dot >/dev/null; then
        rootlet graph --svg i | grep -q '</svg>'
    else
        run -1 --separate-stderr rootlet graph --svg i
        failed 1 "dot: start: not found in PATH"
    fi
    run -0 --separate-stderr rootlet licenses i
    [[ $output == *"lib "*"for build MIT"*"tool "*"in image  MIT"* ]]
    rootlet licenses --texts i | grep -qx 'the text'
    rootlet licenses --json i | python3 -c 'import json, sys; l = json.load(sys.stdin); assert [p["name"] for p in l] == ["lib", "tool"] and l[1]["sources"][0]["sha256"]'
    rootlet licenses --sbom i >a.json
    SOURCE_DATE_EPOCH=86400 rootlet licenses --sbom i >b.json
    python3 - <<'END'
import json
a, b = json.load(open("a.json")), json.load(open("b.json"))
assert a["spdxVersion"] == "SPDX-2.3" and a["documentNamespace"] == b["documentNamespace"]
assert b["creationInfo"]["created"] == "1970-01-02T00:00:00Z"
ids = [p["SPDXID"] for p in a["packages"]]
assert len(ids) == len(set(ids)) == 3
for r in a["relationships"]:
    assert r["spdxElementId"] in ids + ["SPDXRef-DOCUMENT"] and r["relatedSpdxElement"] in ids
assert a["packages"][2]["checksums"][0]["algorithm"] == "SHA256"
END
}

@test "fetched and bundled, it is built elsewhere without a network, to the same bytes" {
    skip_without_sandbox
    two_packages
    mkdir -p skeleton/base/etc recipes/images/files/sub
    echo base >skeleton/base/etc/f
    chmod 755 skeleton/base/etc/f
    echo beside >recipes/images/files/beside
    echo source >recipes/images/files/sub/s
    image common <<<'hostname = "common"'
    image i <<'END'
include = "common"
packages = { "tool" }
skeletons = { "base" }
sources = { "files/sub" }
path "/beside" { source = "files/beside" }
disk "root" { free = 1M }
disk "data" { skeletons = { "base" }  size = 1M }
END
    rootlet fetch i
    ROOTLET_OFFLINE=1 rootlet build -q -o one i
    rootlet bundle -o i.tar i
    rootlet bundle -o - i | cmp - i.tar
    mkdir there
    tar -C there -xf i.tar
    unset ROOTLET_MIRROR
    (cd there/i && XDG_CACHE_HOME=$PWD/../cache ROOTLET_OFFLINE=1 rootlet build -q -o ../../two i)
    cmp one/root.ext4 two/root.ext4
    cmp one/data.ext4 two/data.ext4
    # What is elsewhere cannot be bundled.
    echo "include = \"i\"
path \"/x\" { content = \"x\" }
sources = { \"$PWD/mirror\" }" >far.conf
    run -1 --separate-stderr rootlet bundle -o far.tar far.conf
    failed 1 "bundle: it is not in the recipe's folder"
    [ ! -e far.tar ]
    run -1 --separate-stderr env ROOTLET_OFFLINE=1 XDG_CACHE_HOME="$PWD/empty" "$ROOTLET" build -q -o none i
    failed 1 "ROOTLET_OFFLINE is set"
}

@test "one's own folder of recipes comes first; ROOTLET_PATH too" {
    skip_without_sandbox
    two_packages
    mkdir -p mine
    (cd mine && package lib '' <<<'echo mine >"$OUT/mine"' && image box <<<'packages = { "lib", "tool" }')
    rootlet build -q --recipes mine -o out box
    rootlet ls out/root.ext4:/mine
    ROOTLET_PATH=$PWD/mine rootlet build -q -o out2 box
    cmp out/root.ext4 out2/root.ext4
    ROOTLET_PATH=$PWD/mine rootlet list | grep -q '  box '
    rootlet list --recipes mine --json | grep -q '"box"'
    run -1 --separate-stderr rootlet build box
    failed 1 "box: find recipe"
    run -1 --separate-stderr rootlet build --recipes mirror box
    failed 1 "mirror: find recipes: it has no folder recipes/"
    run -1 --separate-stderr env ROOTLET_PATH=/nonexistent "$ROOTLET" list
    failed 1 "/nonexistent: find recipes (ROOTLET_PATH): it has no folder recipes/"
}

@test "new recipes to start from" {
    rootlet new package hello
    rootlet new image box
    rootlet check-recipe box recipes/packages/hello/recipe.conf 2>&1 | grep -v 'there is no \(package\|skeleton\)' >log || true
    grep -q 'box: 2 mistakes' log
    for what in "package hello" "image box"; do
        run -1 --separate-stderr rootlet new $what
        failed 1 "create: File exists"
    done
    run -1 --separate-stderr rootlet new image '../x'
    failed 1 "is not a good name"
    run -2 --separate-stderr rootlet new thing x
    mkdir elsewhere
    rootlet new --recipes elsewhere image a
    [ -e elsewhere/recipes/images/a.conf ]
}

@test "options of packages: one package, two images" {
    skip_without_sandbox
    package p 'option "colour" { value = "red"  values = { "red", "green" } }' <<<'echo "$OPTION_COLOUR" >"$OUT/colour"'
    image red <<<'packages = { "p" }'
    image green <<<'packages = { "p" }
options = { "p.colour=green" }'
    rootlet build -q -o red red
    rootlet build -q -o green green
    [ "$(rootlet cat red/root.ext4:/colour)" = red ]
    [ "$(rootlet cat green/root.ext4:/colour)" = green ]
    image blue <<<'packages = { "p" }
options = { "p.colour=blue" }'
    run -1 --separate-stderr rootlet build -q -o blue blue
    failed 1 "recipes/images/blue.conf:3: read recipe: option 'p.colour': the option cannot have that value"
}

@test "clean: what was used stays as long as is asked; nothing of a build that runs" {
    skip_without_sandbox
    two_packages
    image i <<<'packages = { "tool" }'
    rootlet build -q -o out i
    rootlet clean -n --sources >list
    grep -q '^to remove product .* tool-1-' list
    grep -q '^to remove source .*-data-1$' list
    rootlet clean --older-than 1h --sources >list
    refute grep -q '^removed' list
    find "$XDG_CACHE_HOME/rootlet/records" "$XDG_CACHE_HOME/rootlet/sources" -name '*-1*' -exec touch -d '3 hours ago' {} +
    rootlet clean --older-than 1h >list
    grep -q '^removed *product .* lib-1-' list
    grep -q '^kept *source .*-data-1$' list
    [ -z "$(find "$XDG_CACHE_HOME/rootlet/products" "$XDG_CACHE_HOME/rootlet/records" -name '*-1-*')" ]
    rootlet clean --json --sources | python3 -c 'import json, sys; assert any(i["kind"] == "source" and i["removed"] for i in json.load(sys.stdin))'
    # The images are none of its business.
    run -0 --separate-stderr rootlet build -o out i
    [[ $stderr == *"nothing to do"* ]]
    package slow '' <<<'echo >"$OUT/f"; sleep 5'
    "$ROOTLET" package slow >/dev/null 2>&1 3>&- &
    pid=$!
    for try in $(seq 50); do ls "$XDG_CACHE_HOME/rootlet/tmp" | grep -q slow && break; sleep 0.1; done
    run -1 --separate-stderr rootlet clean
    failed 1 "clean: it is in use: a build is running"
    wait $pid
    rootlet clean
}

@test "a killed build goes on where it was; an interrupted one leaves nothing" {
    skip_without_sandbox
    package first '' <<<'echo 1 >"$OUT/first"'
    package second 'build-needs = { "first" }' <<<'echo 2 >"$OUT/second"; sleep 31.7'
    for signal in TERM KILL; do
        "$ROOTLET" package second >/dev/null 2>log 3>&- &
        pid=$!
        for try in $(seq 100); do grep -q 'second: building' log && break; sleep 0.1; done
        kill -$signal $pid
        wait $pid || true
        for try in $(seq 50); do [ -z "$(ls "$XDG_CACHE_HOME/rootlet/tmp")" ] && break; sleep 0.1; done
        [ -z "$(ls "$XDG_CACHE_HOME/rootlet/tmp")" ]
        [ -z "$(ls "$XDG_CACHE_HOME/rootlet/locks")" ]
        refute pgrep -f "sleep 31.7"
    done
    package second 'build-needs = { "first" }' <<<'echo 2 >"$OUT/second"'
    run -0 --separate-stderr rootlet package second
    refute grep -q 'first: building' <<<"$stderr"
}

@test "a build script that fails in any way is told in one line" {
    skip_without_sandbox
    check() {
        package bad "$1" <<<"$2"
        run -1 --separate-stderr rootlet package bad
        line=$(grep '^rootlet: bad: build: ' <<<"$stderr")
        [ "$(wc -l <<<"$line")" = 1 ]
        [[ $line == *"$3"* ]] || { echo "$stderr"; return 1; }
        [ -z "$(ls "$XDG_CACHE_HOME/rootlet/products" "$XDG_CACHE_HOME/rootlet/tmp")" ] || [ -z "$(ls -A "$XDG_CACHE_HOME/rootlet/tmp")" ]
    }
    check '' 'echo x >/usr/x' 'build.sh: exit status'
    check '' 'echo x >/recipe/x' 'build.sh: exit status'
    check '' 'exec 3<>/dev/tcp/127.0.0.1/1 || cat </dev/tcp/127.0.0.1/1' 'build.sh: exit status'
    check '' 'true' 'nothing in /out'
    check 'time-limit = 1s' 'sleep 100' 'still running after its time limit of 1 s'
    check 'log-limit = 1K' 'yes' 'printed more than its limit'
    check '' 'kill -9 $$' 'build.sh:'
}

@test "bundles of odd recipes: includes by name, names that are not ASCII, links, --set, what cannot be bundled" {
    skip_without_sandbox
    package p 'files = { "config" }' <<<'cp "$RECIPE/config" "$OUT/config"'
    echo "is it" >recipes/packages/p/config.v2
    ln -s config.v2 recipes/packages/p/config
    mkdir -p skeleton/u src/sub
    echo x >"skeleton/u/é"
    printf x >"skeleton/u/$(printf '\351')"
    echo 1 >src/f
    ln src/f src/sub/g
    chmod 4775 src/f
    image base <<<'packages = { "p" }
skeletons = { "u" }
variable "h" { value = "d" }
hostname = "{h}"
timezone = "UTC"'
    echo 'include = "base"
sources = { "src" }' >child.conf
    rootlet build -q -o one --set "h=it-s" child.conf
    rootlet bundle --set "h=it-s" -o c.tar child.conf
    mkdir there
    tar -C there -xpf c.tar
    (cd there/child && XDG_CACHE_HOME=$PWD/cache PATH=$BATS_TEST_TMPDIR:$PATH sh -c "$(tail -n 1 README) -q -o ../../two")
    cmp one/root.ext4 two/root.ext4
    mkdir sub
    printf 'summary = "s"\nsources = { "../src" }\n' >sub/dd.conf
    run -1 --separate-stderr rootlet bundle -o d.tar sub/dd.conf
    failed 1 "bundle: it is not in the recipe's folder"
    [ ! -e d.tar ]
}

@test "a bundled source that is not pinned must be the one that was bundled" {
    skip_without_sandbox
    package p 'source "a.deb" { debian-binary = "p" }' <<<'cp "$SRC/a.deb" "$OUT/a"'
    image i <<<'packages = { "p" }'
    mkdir -p sources/p
    echo right >sources/p/a.deb
    sha256sum <sources/p/a.deb | cut -d' ' -f1 >sources/p/a.deb.sha256
    ROOTLET_OFFLINE=1 rootlet build -q -o out i
    [ "$(rootlet cat out/root.ext4:/a)" = right ]
    echo wrong >sources/p/a.deb
    rm -r "$XDG_CACHE_HOME"
    run -1 --separate-stderr timeout 20 env ROOTLET_OFFLINE=1 "$ROOTLET" build -o other i
    [[ $stderr == *"wrong SHA-256"* ]]
}

@test "options reach the kernel's package, in builds and in runs" {
    skip_without_sandbox
    package k 'option "x" { value = "0" }' <<<'mkdir "$OUT/boot"; printf "#!/bin/sh\necho kernel %s\n" "$OPTION_X" >"$OUT/boot/linux"; chmod +x "$OUT/boot/linux"'
    image i <<<'options = { "k.x=1" }
run { kernel = "k" }'
    rootlet build -q -o out i
    run -0 --separate-stderr rootlet build -o out i
    [[ $stderr == *"nothing to do"* ]]
    run --separate-stderr timeout 20 "$ROOTLET" run -o out i
    refute grep -q 'k: building' <<<"$stderr"
    image j <<<'options = { "z.x=1" }'
    run -1 --separate-stderr rootlet build -q -o out2 j
    failed 1 "option 'z.x': the image has no such package"
}

@test "large skeletons, hard links, names that are not UTF-8: what counts, counts" {
    skip_without_sandbox
    mkdir -p skeleton/big skeleton/links
    (cd skeleton/big && seq 1500 | xargs touch)
    image big <<<'skeletons = { "big" }
disk "root" { fs = ext2 }
disk "data" { size = 2M  fs = ext2 }'
    rootlet build -q -o big big
    [ "$(stat -c %s big/build.json)" -lt 20000 ]
    run -0 --separate-stderr rootlet build -o big big
    [[ $stderr == *"nothing to do"* ]]
    echo x >skeleton/big/7
    run -0 --separate-stderr rootlet build --explain -o big big
    [[ $stderr == *"skeleton/big changed"* ]]
    echo x >skeleton/links/f
    cp -p skeleton/links/f skeleton/links/g
    image links <<<'skeletons = { "links" }'
    rootlet build -q -o links links
    ln -f skeleton/links/f skeleton/links/g
    run -0 --separate-stderr rootlet build -o links links
    [[ $stderr == *"written"* ]]
    package odd '' <<<'printf x >"$OUT/$(printf "\\351")"; ln -s "$(printf "x\\351")" "$OUT/l"'
    rootlet package odd
    run -0 --separate-stderr rootlet package odd
    [ -z "$stderr" ]
}

@test "what a hostile recipe may cost" {
    skip_without_sandbox
    { echo 'summary = "s"'; printf 'variable "v" { value = "%s" }\n' "$(head -c 300000 /dev/zero | tr '\0' x)"
        printf 'path "/f" { content = "'; for i in $(seq 50000); do printf '{v}'; done; echo '" }'; } >boom.conf
    run -1 --separate-stderr bash -c "[ -n '${RL_SANITIZE:-}' ] || ulimit -v 2000000; exec timeout 20 '$ROOTLET' build -o out boom.conf"
    failed 1 "with its variables the recipe is larger than"
    package l0 'source "a.deb" { debian-binary = "not-there" }' <<<'true'
    for i in $(seq 24); do
        package a$i "needs = { \"l$((i - 1))\" }" <<<'true'
        package b$i "needs = { \"l$((i - 1))\" }" <<<'true'
        package l$i "needs = { \"a$i\", \"b$i\" }" <<<'true'
    done
    run -1 --separate-stderr timeout 20 env ROOTLET_OFFLINE=1 "$ROOTLET" package l24
    failed 1 "a.deb: fetch:"
    # A build that fills make's pipe, or takes all that is in it.
    package full '' <<<'w=${MAKEFLAGS##*,}; head -c 70000 /dev/zero | timeout 2 sh -c "cat >/proc/self/fd/$w" || true; echo >"$OUT/f"'
    package after 'build-needs = { "full" }' <<<'echo >"$OUT/f"'
    timeout 20 "$ROOTLET" package after
    package thief '' <<<'r=${MAKEFLAGS##*=}; timeout 1 sh -c "cat </proc/self/fd/${r%%,*}" >/dev/null || true; echo >"$OUT/f"'
    package victim 'build-needs = { "thief" }' <<<'printf "a: b c\nb c: ; echo >>%s/\$@\n" "$OUT" >Makefile; make'
    timeout 20 "$ROOTLET" package -j 3 victim
}

@test "a damaged product is mended once, and not under another's hands" {
    skip_without_sandbox
    package p '' <<<'echo good >"$OUT/f"; sleep 1'
    folder=$(rootlet package p)
    echo bad >"$folder/f"
    for i in 1 2 3; do "$ROOTLET" package p >/dev/null 2>log$i 3>&- & done
    wait
    [ "$(cat "$folder/f")" = good ]
    [ "$(cat log? | grep -c 'p: building')" = 1 ]
    rm -r "$folder"
    echo file >"$folder"
    rootlet package p
    [ "$(cat "$folder/f")" = good ]
}

@test "check-recipe knows a skeleton by its folder, and sees what is not there" {
    two_packages
    mkdir mine
    printf 'summary = "s"\n' >mine.conf
    rootlet check-recipe mine.conf
    (cd recipes/packages/lib && rootlet check-recipe recipe.conf && rootlet check-recipe ./recipe.conf)
    mkdir skeleton
    printf 'path "/x" { type = dir }\n' >skeleton/s.conf
    rootlet check-recipe skeleton/s.conf
    printf 'summary = "s"\npackages = { "lib:nopart" }\noptions = { "lib.no=1" }\nsources = { "gone.tar" }\nrun { kernel = "nokernel" }\n' >bad.conf
    run -1 --separate-stderr rootlet check-recipe bad.conf
    for what in "part of a package 'lib:nopart'" "such option 'lib.no=1'" "source 'gone.tar'" "package 'nokernel'"; do
        grep -qF "there is no $what" <<<"$stderr" || { echo "$stderr"; return 1; }
    done
    printf 'summary = "s"\ntimezone = "No/Where"\nnetwork { address = "fd00::2/64" }\n' >bad.conf
    run -1 --separate-stderr rootlet check-recipe bad.conf
    grep -q "bad.conf:2: .*timezone 'No/Where'" <<<"$stderr"
    printf 'summary = "caf\351"\nlicense = "x"\n' >bad.conf
    run -1 --separate-stderr rootlet check-recipe bad.conf
    grep -q "is not UTF-8" <<<"$stderr"
}

@test "keep going also where something cannot be fetched" {
    skip_without_sandbox
    package nofetch 'source "x" { sha256 = "'"$(printf '%064d' 0)"'"  urls = { "file:///nonexistent/x" } }' <<<'true'
    package good '' <<<'echo >"$OUT/f"'
    run -1 --separate-stderr rootlet package -k nofetch good
    grep -q 'good: built in' <<<"$stderr"
    grep -q '^rootlet: x: fetch: ' <<<"$stderr"
}
