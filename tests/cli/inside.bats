#!/usr/bin/env bats
# Looking into images: find, du, df, tree, stat, tar, manifest. What the host says of the same files is right.
load helper

make_tree() {
    mkdir -p t/dir/deep t/empty t/.hidden
    echo hello >t/file
    ln t/file t/dir/hard
    ln -s ../file t/dir/soft
    mkfifo t/fifo
    truncate -s 3M t/sparse
    head -c 5000 /dev/urandom | dd of=t/sparse bs=4096 seek=300 conv=notrunc status=none
    truncate -s 1M t/hole
    head -c 100000 /dev/urandom >t/large
    : >t/none
    echo e >"t/é"
    echo b >"t/$(printf 'a\351b')"
    echo n >"t/new"$'\n'"line"
    setfattr -n user.note -v some t/file
    setfacl -m u:12:r-x t/large
    setfacl -d -m g:7:rwx t/dir
    chmod 4755 t/file
    chmod 1777 t/empty
    touch -d '2001-02-03 04:05:06.123456789' t/large
    find t -depth -newermt 2015-01-01 -exec touch -h -d @1500000000 {} +
    touch -d '2001-02-03 04:05:06.123456789' t/large
    printf '/c c 600 1 2 5 1\n/b b 660 0 6 8 70000\n' >table
    rootlet pack -o a.ext4 --chown '/dir=5:6' t devtable:table
}

@test "find finds what find does" {
    make_tree
    touch -d '2 days ago' t/none
    touch -d '1 hour ago' t/hole
    touch -d '1 hour' t/sparse
    rootlet pack -o t.ext4 t
    while read -r tests; do
        (cd t && eval "find . ! -path . $tests -print0") | sed -z 's/^\.//' | LC_ALL=C sort -z >want
        eval "rootlet find -0 t.ext4 ! -path / $tests" | LC_ALL=C grep -azv '^/lost+found' | LC_ALL=C sort -z >got
        cmp want got || { echo "$tests"; tr '\0' '\n' <want; echo --; tr '\0' '\n' <got; return 1; }
    done <<'END'
-type f
-type d
-type l
-type p
! -type d
-name '*a*'
-name '.*'
-name '[[:lower:]]*e'
-size +1
-size -2
-size +90k
-size 3145728c
-perm 4755
-perm -4000
-perm /1000
-links 2
-links +1 -type f
-empty
-newer $BATS_TEST_TMPDIR/work/t/hole
-iname '*A*'
-maxdepth 1
-mindepth 2 -type f
-mtime 2
-mtime +1
-mtime -3
-mtime -0
-mtime 0
END
    rootlet find t.ext4:/dir | diff - <(printf '/dir\n/dir/deep\n/dir/hard\n/dir/soft\n')
    rootlet find t.ext4:/dir/ | diff - <(find t/dir/ | sed 's/^t//' | LC_ALL=C sort)
    # A path is held against the whole of the pattern, as it is printed.
    for glob in '*/dir/*' '/dir*' '/d?r/*' '*r/d*p' 'dir/*' '/dir' '?dir?soft' '**/soft' '/[!a-n]*' 'dir' '*/[.]*' '/dir/'; do
        LC_ALL=C find t ! -path t -path "t$glob" | sed 's/^t//' | LC_ALL=C sort >want
        rootlet find t.ext4 ! -path / ! -path '/lost+found*' -path "$glob" | LC_ALL=C sort >got
        diff want got || { echo "$glob"; return 1; }
    done
    rootlet find --max-depth 1 t.ext4:/dir -type d | diff - <(printf '/dir\n/dir/deep\n')
    [ "$(rootlet find t.ext4 -name 'new*')" = '/new\nline' ]
    rootlet find --json t.ext4 -name file | python3 -c 'import json, sys; assert json.load(sys.stdin)["links"] == 2'
    rootlet find a.ext4 -user 5 -group 6 | diff - <(echo /dir)
    rootlet find t.ext4 -print0 -maxdepth 0 | cmp - <(printf '/\0')
    # Names are those that the image has.
    mkdir t/etc
    printf 'root:x:0:0::/:\nsome:x:5:9::/:\n' >t/etc/passwd
    printf 'root:x:0:\nwheel:x:6:a,b' >t/etc/group
    rootlet pack -o named.ext4 --chown '/dir=5:6' t
    rootlet find named.ext4 -user some -group wheel | diff - <(echo /dir)
    [ "$(rootlet find named.ext4 ! -user root)" = /dir ]
    run -1 --separate-stderr rootlet find named.ext4 -user wheel
    failed 1 "named.ext4:/etc/passwd: look up: there is no 'wheel' in it"
    run -1 --separate-stderr rootlet find t.ext4 -user root
    failed 1 "t.ext4:/etc/passwd: open: No such file"
    run -2 --separate-stderr rootlet find t.ext4 -uid root
    failed 2 "-uid cannot take 'root'"
    run -2 --separate-stderr rootlet find t.ext4 -foo
    failed 2 "find: unknown option -foo"
    run -2 --separate-stderr rootlet find t.ext4 ! -maxdepth 1
    failed 2 "! stands in front of a test, not of -maxdepth"
    run -2 --separate-stderr rootlet find t.ext4 -size x
    failed 2 "-size cannot take 'x'"
    run -2 --separate-stderr rootlet find t.ext4 -name
    failed 2 "-name needs a value"
    run -1 --separate-stderr rootlet find t.ext4:/nothing
    failed 1 "/nothing"
}

@test "du and df" {
    make_tree
    [ "$(rootlet du -s --apparent-size -b a.ext4:/large)" = "100000	/large" ]
    # Of what the hard link has one half counts.
    [ "$(rootlet du -s a.ext4:/dir | cut -f1)" = 12 ]
    rootlet du -a -d 1 a.ext4 | grep -qx '100	/large'
    rootlet du a.ext4 | tail -n 1 | grep -q '	/$'
    # What is told of which, and that all is counted once, is as with du.
    mkdir -p t/more t/dir/deeper
    ln t/large t/more/large
    ln t/file t/more/file
    rootlet pack -o b.ext4 t
    for words in dir "dir more" "more dir file large" "dir dir" "dir dir/deep" "dir/deep dir" "file more/file"; do
        for options in -c -ac -sc -acb; do
            (cd t && du $options $words) | cut -f2 | sed 's,^,/,; s,^/total$,total,' >theirs
            rootlet du $options $(printf 'b.ext4:/%s ' $words) >ours
            cut -f2 ours | LC_ALL=C sort | diff <(LC_ALL=C sort theirs) - || { echo "$options $words"; return 1; }
        done
    done
    [ "$(rootlet du -scb b.ext4:/more b.ext4:/large b.ext4:/dir/hard | tail -n 1)" = "104102	total" ]
    rootlet du -scb --json b.ext4:/large a.ext4:/large | tail -n 1 | grep -qxF '{"total":200000}'
    [ "$(rootlet du -ch --apparent-size b.ext4:/large a.ext4:/large | tail -n 1)" = "196K	total" ]
    debugfs -R stats a.ext4 2>/dev/null >stats
    free=$(sed -n 's/^Free blocks: *//p' stats) all=$(sed -n 's/^Block count: *//p' stats)
    rootlet df --json a.ext4 | python3 -c "import json, sys
d = json.load(sys.stdin)
assert d['size'] == $all * 4096 and d['used'] == ($all - $free) * 4096 and d['available'] == $free * 4096, d"
    rootlet df -h a.ext4 a.ext4 | wc -l | grep -qx 3
    rootlet df -i a.ext4 | grep -q a.ext4
}

@test "tree and stat" {
    make_tree
    rootlet tree -L 1 a.ext4:/dir | diff - <(printf '/dir\n├── deep\n├── hard\n└── soft -> ../file\n\n1 directories, 2 files\n')
    rootlet tree -d a.ext4:/ | grep -q '^│   └── deep$'
    refute grep -q hidden <<<"$(rootlet tree a.ext4)"
    rootlet tree -a a.ext4 | grep -q hidden
    run -0 --separate-stderr rootlet stat a.ext4:/large
    [[ $output == *"Size: 100000 "*"Access: (0654/-rw-r-xr--)"*"Modify: 2001-02-03 04:05:06.123456789 UTC"*"Attr: system.posix_acl_access="* ]]
    rootlet stat a.ext4:/b | grep -q 'Device: 8,70000'
    rootlet stat a.ext4:/dir/soft | grep -q 'soft -> ../file'
    rootlet stat -L a.ext4:/dir/soft | grep -q 'Size: 6 '
}

@test "tar: everything, so that the image comes back to the byte; GNU tar reads it" {
    make_tree
    rootlet tar -o a.tar a.ext4
    rootlet tar a.ext4 | cmp - a.tar
    rootlet tar a.ext4 | rootlet pack -o b.ext4 -
    cmp a.ext4 b.ext4
    rootlet diff --content a.ext4 b.ext4
    # A tar of 3 MB of holes is small.
    [ "$(stat -c %s a.tar)" -lt 200000 ]
    mkdir x
    tar -xpf a.tar -C x --xattrs --acls --exclude './[bc]' --no-same-owner --warning=no-unknown-keyword
    rm -r x/lost+found
    diff -r --no-dereference -x fifo t x
    getfacl -np x/large | grep -qx 'user:12:r-x'
    [ "$(stat -c %y x/large | cut -c1-29)" = "2001-02-03 04:05:06.123456789" ] || [ "$(stat -c %Y x/large)" = "$(stat -c %Y t/large)" ]
    [ "$(stat -c %h x/file)" = 2 ]
    getfattr --absolute-names -n user.note --only-values x/file | grep -qx some
    rootlet tar a.ext4:/dir | tar -tf - | grep -qx ./deep/
    run -1 --separate-stderr rootlet tar -o no.tar a.ext4:/nothing
    failed 1 "there is no such path in it"
    [ ! -e no.tar ]
}

@test "tar: a socket is told and left out; times before 1970 are what others read, and write" {
    mkdir s
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("s/sock")'
    : >s/zz
    rootlet pack -q -o s.ext4 s
    run -1 --separate-stderr rootlet tar -o s.tar s.ext4
    failed 1 "./sock: write: it is a socket, for which there is no place in a tar"
    [ "$(tar -tf s.tar)" = "$(printf './\n./lost+found/\n./zz')" ]
    rm -r s/sock
    for t in 1969-12-31T23:59:58.25Z 1960-01-01T00:00:00.123456789Z 1969-12-31T23:59:59Z 1970-01-01T00:00:00.5Z; do
        touch -d $t s/$t
    done
    rootlet pack -q -o s.ext4 s
    rootlet tar -o s.tar s.ext4
    mkdir x
    tar -xf s.tar -C x 2>/dev/null
    (cd s; stat -c '%n %y' *) >times
    (cd x; stat -c '%n %y' [1z]*) | diff times -
    rootlet diff s.ext4 s.tar
    tar --format=posix -cf t.tar -C s .
    rootlet pack -q -o t.ext4 t.tar
    rootlet diff t.ext4 s.ext4
    # Of the last second before, libarchive has no fractions.
    touch -d 1969-12-31T23:59:59.5Z s/last
    rootlet pack -q -o s.ext4 s
    run -1 --separate-stderr rootlet tar -o s.tar s.ext4
    failed 1 "./last: write: its time has a fraction of the last second before 1970-01-01"
    tar -tf s.tar | grep -qx ./last
}

@test "manifest: as mtree, which pack takes again, and as JSON" {
    make_tree
    rootlet manifest -o m a.ext4
    grep -q "^./large .*mode=654 .*size=100000 .*sha256digest=$(sha256sum <t/large | cut -d' ' -f1)" m
    grep -q '^./b .*type=block' m
    # Others read it.
    if command -v bsdtar >/dev/null; then
        bsdtar -tf m | sed 's,^\./,,; s,/$,,' | sort >theirs
        (echo .; rootlet tar a.ext4 | bsdtar -tf -) | sed 's,^\./,,; s,/$,,' | grep . | sort | diff - theirs
    fi
    rootlet manifest --format json -o j a.ext4
    rootlet manifest --format json a.ext4 | cmp - j
    # Nothing is other than it says.
    rootlet pack -o b.ext4 a.ext4 mtree:m
    sed -i "/^\.\/large /s/sha256digest=.*/sha256digest=$(printf '0%.0s' $(seq 64))/" m
    run -1 --separate-stderr rootlet pack -o c.ext4 a.ext4 mtree:m
    failed 1 "another SHA-256"
    rootlet manifest --format json a.ext4 >j
    python3 - <<END
import hashlib, json
rows = {r["path"]: r for r in map(json.loads, open("j"))}
assert rows["/large"]["sha256"] == hashlib.sha256(open("t/large", "rb").read()).hexdigest()
assert rows["/sparse"]["sha256"] == hashlib.sha256(open("t/sparse", "rb").read()).hexdigest()
assert rows["/b"]["minor"] == 70000 and rows["/file"]["xattrs"] == {"user.note": b"some".hex()}
assert rows["/dir"]["uid"] == 5 and rows["/file"]["links"] == 2 and rows["/dir/soft"]["target"] == "../file"
END
}

@test "a broken directory is told, and the rest is shown" {
    make_tree
    # A second name for a directory; and a name without an inode.
    rootlet pack -o b.ext4 t
    inode=$(rootlet stat b.ext4:/dir | sed -n 's/.*Inode: \([0-9]*\).*/\1/p')
    debugfs -w -R "ln <$inode> /dir/deep/again" b.ext4 2>/dev/null
    for verb in "find" "du" "tree -a"; do
        run -1 --separate-stderr timeout 20 "$ROOTLET" $verb b.ext4
        [[ $stderr == *"/dir/deep/again"*"came before"* ]]
        [[ $output == *large* ]] || [ "$verb" = du ]
    done
}

@test "ls sorts by size and time, and separates by NUL" {
    make_tree
    rootlet pack -o t.ext4 t
    [ "$(rootlet ls -S t.ext4:/ | head -n 1)" = sparse ] || [ "$(rootlet ls -S t.ext4:/ | head -n 1)" = large ]
    [ "$(rootlet ls -S t.ext4:/ | tac)" = "$(rootlet ls -Sr t.ext4:/)" ]
    rootlet ls -tr t.ext4:/ | head -n 1 | grep -qx large
    rootlet ls -0 t.ext4:/dir | tr '\0' ' ' | grep -q '^deep hard soft $'
    # No colours where nobody sees them; there, where somebody does.
    refute grep -q $'\033' <<<"$(rootlet ls -l t.ext4:/)"
    script -qec "$ROOTLET ls t.ext4:/dir" /dev/null | grep -q $'\033\\[1;34mdeep'
}

@test "an image that a guest has open is read, and a warning says so" {
    make_tree
    rootlet manifest a.ext4 >want
    hold a.ext4
    for verb in 'ls -R' find tree du df stat info tar manifest 'cp -r'; do
        case $verb in
            cp*) run --separate-stderr rootlet $verb a.ext4:/dir out ;;
            *) run --separate-stderr rootlet $verb a.ext4 ;;
        esac
        [ "$status" = 0 ]
        [[ $stderr == "rootlet: warning: a.ext4: in use by process "*"(perl): it may change while it is read" ]] ||
            { echo "$verb: $stderr"; return 1; }
    done
    rootlet manifest a.ext4 2>/dev/null | cmp - want
    # An image that is made from another does not change afterwards: that one has to stand still.
    run --separate-stderr rootlet pack -o new.ext4 a.ext4
    failed 1 'a.ext4: read: in use by process '
    kill $holder
}

@test "holes cost nothing in a tar, and a size that no file can have is told" {
    mkdir t
    truncate -s 1T t/sparse
    printf middle | dd of=t/sparse bs=1 seek=500000000000 conv=notrunc status=none
    truncate -s 3M t/hole
    echo word >t/file
    rootlet pack -o a.ext4 t
    # Byte by byte these are hours.
    timeout 60 "$ROOTLET" tar -q -o a.tar a.ext4
    [ "$(stat -c %s a.tar)" -lt 40000 ]
    mkdir out
    tar xf a.tar -C out
    [ "$(stat -c %s out/sparse)" = 1099511627776 ]
    [ "$(stat -c %s out/hole)" = 3145728 ]
    [ "$(dd if=out/sparse bs=1 skip=500000000000 count=6 status=none)" = middle ]
    debugfs -w -R 'sif /hole size 0x1000000000005' a.ext4 >/dev/null 2>&1
    for verb in manifest tar 'cat'; do
        case $verb in
            cat) run --separate-stderr timeout 60 "$ROOTLET" cat a.ext4:/hole ;;
            # The terabyte is not for a checksum.
            *) rm -rf t/sparse
               rootlet pack -q -o b.ext4 t
               debugfs -w -R 'sif /hole size 0x1000000000005' b.ext4 >/dev/null 2>&1
               run --separate-stderr timeout 60 "$ROOTLET" $verb b.ext4 ;;
        esac
        failed 1 '/hole: read: an impossible size'
    done
}

@test "JSON holds no control character, and attributes of any name" {
    mkdir t
    touch "$(printf 't/delete\177')" "$(printf 't/csi\302\2332J')" "$(printf 't/tag\363\240\201\201')" t/é
    setfattr -n "$(printf 'user.not \351 UTF-8')" -v one t/é
    setfattr -n "$(printf 'user.\302\233')" -v two t/é
    rootlet pack -q -o a.ext4 t
    for command in "find --json a.ext4" "stat --json a.ext4:/é" "manifest --format json a.ext4"; do
        rootlet $command >said
        refute grep -P '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xf3\xa0' said
        python3 -c 'import json, sys; [json.loads(line) for line in sys.stdin]' <said
    done
    rootlet find --json a.ext4 | python3 -c '
import json, sys
paths = [json.loads(line)["path"] for line in sys.stdin]
assert {"/delete\x7f", "/csi\x9b2J", "/tag\U000e0041", "/é"} <= set(paths), paths'
    rootlet manifest --format json a.ext4 | python3 -c '
import json, sys
xattrs = [x for line in sys.stdin for x in json.loads(line).get("xattrs", {}).items()]
assert xattrs == [("user.not \\xe9 UTF-8", b"one".hex()), ("user.\x9b", b"two".hex())], xattrs'
}

@test "JSON has each name exactly" {
    mkdir -p t/d "$(printf 't/d\\xff')" "$(printf 't/d\377')" e
    for name in 'bad\xff' "$(printf 'bad\377')" é 'plain\n'; do echo "$name" >"t/$name"; done
    ln -s "$(printf 'to\377')" t/link
    rootlet pack -q -o a.ext4 t
    for verb in "ls -R" "find" "du -a" "tree -a" "manifest --format"; do
        if [ "$verb" = "manifest --format" ]; then rootlet $verb json a.ext4; else rootlet $verb --json a.ext4; fi >said
        python3 - t said <<'END' || { echo "$verb"; cat said; return 1; }
import base64, json, os, sys
def exact(o, key):
    assert (key + "_base64" in o) == (b"\xff" in base64.b64decode(o.get(key + "_base64", ""))), o
    return base64.b64decode(o[key + "_base64"]) if key + "_base64" in o else o[key].encode()
seen = [json.loads(line) for line in open(sys.argv[2])]
seen = [o for o in seen if "lost+found" not in o["path"]]
paths = [exact(o, "path") for o in seen]
want = [b"/" + n for n in os.listdir(sys.argv[1].encode())]
assert sorted(p for p in paths if p != b"/") == sorted(want), paths
assert {o["path"] for o in seen} >= {r"/bad\xff", r"/d\xff", "/é", r"/plain\n"}
assert all(exact(o, "target") == b"to\xff" for o in seen if "target" in o)
END
    done
    rootlet stat --json a.ext4:/link "$(printf 'a.ext4:/bad\377')" | python3 -c 'import base64, json, sys
link, bad = map(json.loads, sys.stdin)
assert base64.b64decode(link["target_base64"]) == b"to\xff" and base64.b64decode(bad["path_base64"]) == b"/bad\xff", (link, bad)'
    rootlet diff --json a.ext4 e >said || [ $? = 1 ]
    [ "$(grep -c 'path_base64' said)" = 2 ]
    [ "$(grep -o '"path_base64":"[^"]*"' said | cut -d'"' -f4 | base64 -d | tr '\377' X)" = /badX/dX ]
}
