#!/usr/bin/env bats
# What rules, ignore files and recipes leave out of an image and change in it. debugfs and e2fsck judge.
load helper

# The names of a file's attributes in an image, in one line.
attributes() {
    debugfs -R "ea_list $2" "$1" 2>/dev/null | sed -n 's/^  \([^ ]*\) (.*/\1/p' | sort | tr '\n' ' '
}

# The value of one of them, in hexadecimal digits.
attribute() {
    debugfs -R "ea_get -x $2 $3" "$1" 2>/dev/null | sed 's/.* = //' | tr -d ' \n'
}

names() {
    rootlet ls -aR "$1" | grep -v '^$' | tr '\n' ' '
}

# Builds recipes/images/box.conf, which has no packages; the lines come from standard input.
build() {
    export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
    mkdir -p recipes/images skeleton
    { echo 'summary = "a box"'; cat; } >recipes/images/box.conf
    rm -rf out
    rootlet build -q box
}

# Files of the skeleton "old": NAME and text in turns.
skeleton() {
    while [ $# -gt 0 ]; do
        mkdir -p "skeleton/old/$(dirname "$1")"
        printf "$2" >"skeleton/old/$1"
        shift 2
    done
}

text() {
    rootlet cat "out/box/root.ext4:$1"
}

@test "attributes and capabilities by rule" {
    mkdir -p src/bin src/d
    echo x >src/bin/ping; echo y >src/bin/serve; ln -s ping src/bin/link; mkfifo src/fifo
    rootlet pack -o t.ext4 --capability '/bin/*=cap_net_raw+ep' --capability 'serve=cap_net_bind_service=ep' \
        --xattr '**=user.all=one' --xattr 'serve=user.all="two words"' --xattr '/d=user.bytes=0x00ff10' \
        --xattr '/d=trusted.text=0saGVsbG8=' --xattr '**=security.label=a=b' src
    fsck t.ext4
    [ "$(attribute t.ext4 /bin/ping security.capability)" = 0100000200200000000000000000000000000000 ]
    [ "$(attribute t.ext4 /bin/serve security.capability)" = 0100000200040000000000000000000000000000 ]
    [ "$(attribute t.ext4 /bin/ping user.all)" = 6f6e65 ]
    [ "$(attribute t.ext4 /bin/serve user.all)" = 74776f20776f726473 ]
    [ "$(attribute t.ext4 /d user.bytes)" = 00ff10 ]
    [ "$(attribute t.ext4 /d trusted.text)" = 68656c6c6f ]
    [ "$(attribute t.ext4 /fifo security.label)" = 613d62 ]
    [ "$(attributes t.ext4 /bin/ping)" = "security.capability security.label user.all " ]
    [ "$(attributes t.ext4 /d)" = "security.label trusted.text user.all user.bytes " ]
    # The kernel has no user.* and no capabilities there.
    [ "$(attributes t.ext4 /bin/link)" = "security.label " ]
    [ "$(attributes t.ext4 /fifo)" = "security.label " ]
}

@test "a rule that can do nothing is told" {
    mkdir -p src/d; ln -s d src/l
    run -0 --separate-stderr rootlet pack -o t.ext4 --capability '/d=cap_kill+ep' --xattr '/l=user.x=1' \
        --chmod '/none=0600' src
    [ "$stderr" = "rootlet: warning: /d: matches nothing that can have the attribute
rootlet: warning: /l: matches nothing that can have the attribute
rootlet: warning: /none: matches nothing" ]
}

@test "rules that do not parse" {
    mkdir src
    run --separate-stderr rootlet pack -o t.ext4 --capability 'x=cap_foo+ep' src
    failed 2 "there is no capability 'cap_foo'"
    run --separate-stderr rootlet pack -o t.ext4 --capability 'x=cap_kill+ep cap_chown+p' src
    failed 2 "one effective bit for all"
    run --separate-stderr rootlet pack -o t.ext4 --xattr 'x=system.data=1' src
    failed 2 "it is not GLOB=NAME=VALUE"
    run --separate-stderr rootlet pack -o t.ext4 --xattr 'x=user.a=0x1' src
    failed 2 "0x wants hexadecimal digits"
    only src
}

@test "an ACL that is none" {
    mkdir src; : >src/x
    run --separate-stderr rootlet pack -o t.ext4 --xattr 'x=system.posix_acl_access=1' src
    failed 1 "it is not a POSIX ACL of version 2"
    only src
}

@test "excludes from a file, in the order of the command line" {
    mkdir -p src/build src/sub/build
    touch src/a.o src/b.o src/keep.o src/sub/build/x src/sub/c.o src/build/y
    : >src/sub/build.c
    printf '# objects\n*.o\n\n!keep.o\n/build/\n' >list
    rootlet pack -o t.ext4 --exclude-from list src
    [ "$(names t.ext4)" = "/: . .. keep.o lost+found sub /lost+found: . .. /sub: . .. build build.c /sub/build: . .. x " ]
    rootlet pack -o t.ext4 --exclude-from list --exclude keep.o src
    refute rootlet cat t.ext4:/keep.o 2>/dev/null
    rootlet pack -o t.ext4 --exclude keep.o --exclude-from - src <list
    rootlet cat t.ext4:/keep.o
    rootlet pack -o t.ext4 --exclude-from <(sleep 0.1; cat list) src
    [ "$(names t.ext4:/sub)" = ". .. build build.c /sub/build: . .. x " ] || names t.ext4:/sub
}

@test "what is wrong with a file of excludes" {
    mkdir src
    printf 'x\n!\n' >list
    run --separate-stderr rootlet pack -o t.ext4 --exclude-from list src
    failed 1 "list:2: read: there is no glob behind the !"
    run --separate-stderr rootlet pack -o t.ext4 --exclude-from none src
    failed 1 "none: open: No such file or directory"
    run --separate-stderr rootlet pack -o t.ext4 --exclude-from src src
    failed 1 "src: read: Is a directory"
    run --separate-stderr rootlet pack -o t.ext4 --exclude-from - - </dev/null
    failed 2 "standard input can be read once"
    run --separate-stderr rootlet pack -o t.ext4 --exclude-from - --exclude-from - src </dev/null
    failed 2 "standard input can be read once"
    run --separate-stderr rootlet pack -o t.ext4 --exclude-from - src <list
    failed 1 "standard input:2: read: there is no glob behind the !"
    only list src
}

@test "an ignore file at the top of a folder, for that folder" {
    mkdir -p one/sub/tmp two
    touch one/x.log one/sub/y.log one/sub/keep.log one/sub/tmp/z one/top one/sub/top two/z.log
    printf '*.log\n!keep.log\n/top\ntmp/\nnothing\n' >one/.rootletignore
    run -0 --separate-stderr rootlet pack -o t.ext4 --at /opt one two
    [ -z "$stderr" ]
    [ "$(names t.ext4:/opt)" = "/opt: . .. sub /opt/sub: . .. keep.log top " ]
    rootlet cat t.ext4:/z.log
    printf 'x\n!\n' >one/.rootletignore
    run --separate-stderr rootlet pack -o u.ext4 one
    failed 1 "one/.rootletignore:2: read: there is no glob behind the !"
}

@test "what cannot be read is told with the way out, which works" {
    [ "$(id -u)" != 0 ] || skip "root can read everything"
    mkdir -p src/etc src/closed; echo x >src/etc/secret; chmod 0 src/etc/secret src/closed
    run --separate-stderr rootlet pack -o t.ext4 src
    failed 1 "src/closed: open: Permission denied: leave it out with --exclude '/closed', or make it readable and set its mode with --chmod '/closed=0000'"
    chmod 0700 src/closed
    run --separate-stderr rootlet pack -o t.ext4 --at /at src
    failed 1 "src/etc/secret: open: Permission denied: leave it out with --exclude '/at/etc/secret', or make it readable and set its mode with --chmod '/at/etc/secret=0000'"
    rootlet pack -o t.ext4 --exclude '/at/etc/secret' --at /at src
    chmod 0400 src/etc/secret
    rootlet pack -o t.ext4 --chmod '/at/etc/secret=0000' --at /at src
    rootlet ls -l t.ext4:/at/etc | grep -q '^---------- .* secret$'
}

@test "rules in recipes: the skeletons' first, then the recipe's, over all that is there" {
    skeleton bin/tool x bin/ping x tmp/junk x
    echo 'rule "/bin/*" { mode = 4711  xattrs = { "user.by=skeleton" } }' >skeleton/old.conf
    build <<'END'
skeletons = { "old" }
path "/bin/late" { content = "x" }
rule "/bin/ping" {
    capability = "cap_net_raw+ep"
    owner      = "5:6"
    xattrs     = { "user.by=recipe", "user.bytes=0x00ff" }
}
rule "junk" { exclude = true }
rule "/bin/" { mode = 0711 }
END
    fsck out/box/root.ext4
    [ "$(attribute out/box/root.ext4 /bin/ping security.capability)" = 0100000200200000000000000000000000000000 ]
    [ "$(attribute out/box/root.ext4 /bin/ping user.by)" = 726563697065 ]
    [ "$(attribute out/box/root.ext4 /bin/ping user.bytes)" = 00ff ]
    [ "$(attribute out/box/root.ext4 /bin/late user.by)" = 736b656c65746f6e ]
    [ "$(attributes out/box/root.ext4 /bin/tool)" = "user.by " ]
    rootlet ls -l out/box/root.ext4:/bin >list
    grep -q '^-rws--x--x .* 5     6 .* ping$' list
    grep -q '^-rws--x--x .* 0     0 .* late$' list
    rootlet ls -l out/box/root.ext4:/ | grep -q '^drwx--x--x .* bin$'
    [ -z "$(rootlet ls out/box/root.ext4:/tmp)" ]
}

@test "a rule of a recipe that matches nothing is an error" {
    run --separate-stderr build <<<$'path "/x" { type = dir }\nrule "/x" { mode = 0700 }\nrule "/y" { mode = 0700 }'
    failed 1 "rootlet: recipes/images/box.conf:4: apply rule: '/y' matches nothing"
    run --separate-stderr build <<<$'path "/x" { type = dir }\nrule "/x" { capability = "cap_kill=p" }'
    failed 1 "recipes/images/box.conf:3: apply rule: '/x' matches nothing that can have the attribute"
    skeleton x x
    echo 'rule "none" { exclude = true }' >skeleton/old.conf
    run --separate-stderr build <<<'skeletons = { "old" }'
    failed 1 "skeleton/old.conf:1: apply rule: 'none' matches nothing"
    [ ! -e out/box/root.ext4 ]
}

@test "a data disk's skeleton has its rules" {
    skeleton x x y y
    echo 'rule "x" { mode = 0600 }' >skeleton/old.conf
    build <<<$'disk "root" { }\ndisk "data" { skeletons = { "old" } }'
    fsck out/box/data.ext4
    rootlet ls -l out/box/data.ext4:/ | grep -q '^-rw------- .* x$'
}

@test "services are lines of inittab" {
    build <<'END'
service "web"   { command = "/usr/sbin/httpd -f -p 80:81" }
service "login" { command = "/sbin/getty 38400 tty1"  action = askfirst  terminal = "tty1" }
END
    [ "$(text /etc/inittab)" = "# web
::respawn:/usr/sbin/httpd -f -p 80:81
# login
tty1::askfirst:/sbin/getty 38400 tty1" ]
    fsck out/box/root.ext4
    # Behind what is there, also where that has no newline at its end, or comes from the recipe.
    skeleton etc/inittab '::sysinit:/etc/rc'
    echo 'path "/etc/inittab" { mode = 0640 }' >skeleton/old.conf
    build <<<$'skeletons = { "old" }\nservice "log" { command = "/sbin/syslogd -n"  action = once }'
    [ "$(text /etc/inittab)" = $'::sysinit:/etc/rc\n# log\n::once:/sbin/syslogd -n' ]
    rootlet ls -l out/box/root.ext4:/etc | grep -q '^-rw-r----- .* inittab$'
    build <<<$'path "/etc/inittab" { content = "a\\n" }\nservice "log" { command = "b" }'
    [ "$(text /etc/inittab)" = $'a\n# log\n::respawn:b' ]
    build <<<$'skeletons = { "old" }'
    [ "$(text /etc/inittab)" = '::sysinit:/etc/rc' ]
    run --separate-stderr build <<<$'path "/etc/inittab" { target = "x" }\nservice "log" { command = "b" }'
    failed 1 "/etc/inittab: change: it is a symlink that leads to nothing"
}

@test "accounts without any that are there" {
    build <<<$'user "me" { uid = 7  password = "" }\ngroup "wheel" { gid = 10  members = { "me" } }'
    [ "$(text /etc/passwd)" = $'root:x:0:0:root:/root:/bin/sh\nme:x:7:7::/home/me:/bin/sh' ]
    [ "$(text /etc/shadow)" = $'root:*:0:0:99999:7:::\nme::0:0:99999:7:::' ]
    [ "$(text /etc/group)" = $'root:x:0:\nwheel:x:10:me\nme:x:7:' ]
    rootlet ls -l out/box/root.ext4:/etc >list
    grep -q '^-rw-r--r-- .* passwd$' list
    grep -q '^-rw------- .* shadow$' list
}

@test "accounts that are there stay, those of the recipe replace or follow them" {
    skeleton etc/passwd 'root:x:0:0:The Root:/root:/bin/ash\n# odd\nme:x:1:1:old:/:/bin/false\n\nme:x:1:1:twice:/:\n+::::::\nlast:x:9:9::/:' \
        etc/shadow 'root:$6$salt$hash:1:::::\nlast:*:2::::::\n' etc/group 'root:x:0:last\nusers:x:100:\nold:x:5:\n'
    build <<'END'
skeletons = { "old" }
user "me"  { uid = 1000  gid = 100 }
user "you" { }
group "old" { gid = 6  members = { "me" } }
END
    [ "$(text /etc/passwd)" = 'root:x:0:0:The Root:/root:/bin/ash
# odd
me:x:1000:100::/home/me:/bin/sh

+::::::
last:x:9:9::/:
you:x:1001:1001::/home/you:/bin/sh' ]
    [ "$(text /etc/shadow)" = 'root:$6$salt$hash:1:::::
last:*:2::::::
me:!:0:0:99999:7:::
you:!:0:0:99999:7:::' ]
    [ "$(text /etc/group)" = 'root:x:0:last
users:x:100:
old:x:6:me
you:x:1001:' ]
    fsck out/box/root.ext4
    # A skeleton's files can be read by all; these hashes cannot.
    rootlet ls -l out/box/root.ext4:/etc | grep -q '^-rw-r----- .* shadow$'
}

@test "accounts that nobody changes are the same to the byte, and root is added where there is none" {
    skeleton etc/passwd 'x:x:5:5::/:\nroot:x:0:0::/:/bin/ash' etc/shadow 'x:*:' etc/group 'wheel:x:0:'
    build <<<'skeletons = { "old" }'
    text /etc/passwd | cmp - skeleton/old/etc/passwd
    text /etc/group | cmp - skeleton/old/etc/group
    [ "$(text /etc/shadow)" = $'x:*:\nroot:*:0:0:99999:7:::' ]
    build <<<$'skeletons = { "old" }\nuser "root" { password = "" }'
    [ "$(text /etc/passwd)" = $'x:x:5:5::/:\nroot:x:0:0::/root:/bin/sh' ]
    [ "$(text /etc/shadow)" = $'x:*:\nroot::0:0:99999:7:::' ]
}

@test "an id that another account has is an error" {
    skeleton etc/passwd 'her:x:1000:100::/:\n' etc/group 'her:x:1000:\n'
    run --separate-stderr build <<<$'skeletons = { "old" }\nuser "me" { }'
    failed 1 "recipes/images/box.conf:3: add: user 'me': the /etc/passwd that is there has uid 1000 for 'her' already"
    run --separate-stderr build <<<$'skeletons = { "old" }\ngroup "us" { gid = 1000 }'
    failed 1 "recipes/images/box.conf:3: add: group 'us': the /etc/group that is there has gid 1000 for 'her' already"
    build <<<$'skeletons = { "old" }\nuser "her" { }'
    [ "$(text /etc/group)" = $'her:x:1000:\nroot:x:0:' ]
}
