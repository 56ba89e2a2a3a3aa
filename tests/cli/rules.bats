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
