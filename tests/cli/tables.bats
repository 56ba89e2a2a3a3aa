#!/usr/bin/env bats
# Device tables and mtree specifications as sources.
load helper

@test "a device table gives what genext2fs makes of it" {
    command -v genext2fs >/dev/null || skip "no genext2fs"
    mkdir root
    cat >table <<'END'
# name	type	mode	uid	gid	major	minor	start	inc	count
/dev		d	755	0	0	-	-	-	-	-
/dev/mem	c	640	0	0	1	1	0	0	-
/dev/tty	c	666	0	0	5	0	0	0	-
/dev/tty	c	666	0	5	4	0	0	1	6
/dev/loop	b	640	0	0	7	0	0	1	2
/dev/log	s	666	3	0	-	-	-	-	-
END
    genext2fs -b 1000 -N 100 -f -d root -D table g.ext2 2>/dev/null
    rootlet pack -o r.ext2 --fs ext2 root devtable:table
    fsck r.ext2
    for path in dev dev/mem dev/tty dev/tty0 dev/tty5 dev/loop0 dev/loop1 dev/log; do
        for image in g r; do
            debugfs -R "stat /$path" $image.ext2 2>/dev/null |
                grep -oE 'Type: [a-z ]*[a-z]|Mode: +[0-7]+|User: +[0-9]+|Group: +[0-9]+|Device.*\(.*\)' >$image
        done
        diff g r
    done
}

@test "Buildroot's way: ranges, what is kept, owners by name, capabilities" {
    mkdir -p root/etc root/usr/bin root/var/www/sub
    echo 'www:x:33:34:::' >root/etc/passwd
    echo 'web:x:35:' >root/etc/group
    echo ping >root/usr/bin/ping
    chmod 755 root/usr/bin/ping
    echo page >root/var/www/sub/page
    ln -s usr/bin root/bin
    cat >table <<'END'
/bin/ping f -1 0 0 - - - - -
|xattr cap_net_raw+ep
/var/www r -1 www web - - - - -
/dev/uio b 640 0 0 252 1 6 2 5
/dev/one c 640 0 0 1 9 3 1 1
/missing F 755 0 0 - - - - -
END
    rootlet pack -o a.ext4 root devtable:table
    fsck a.ext4
    debugfs -R 'ea_list /usr/bin/ping' a.ext4 2>/dev/null | grep -q security.capability
    debugfs -R 'stat /usr/bin/ping' a.ext4 2>/dev/null | grep -q 'Mode:  0755'
    debugfs -R 'stat /var/www/sub/page' a.ext4 2>/dev/null | grep -q 'User:    33   Group:    35'
    [ "$(rootlet ls -1 a.ext4:/dev | xargs)" = "one uio10 uio6 uio7 uio8 uio9" ]
    rootlet ls -l a.ext4:/dev/uio10 | grep -q ' 252, 9 '
    # From standard input, below another directory.
    printf 'x c 600 0 0 1 2\n' | rootlet pack -o b.ext4 --at /dev devtable:-
    rootlet ls -l b.ext4:/dev/x | grep -q '^crw------- .* 1, 2 '
    run --separate-stderr rootlet pack -o c.ext4 root devtable:- <<<$'/ok d 755 0 0\n/bad q 755 0 0'
    failed 1 "standard input:2: read device table: a type that is none of d, f, F, r, c, b, p, s: 'q'"
    run --separate-stderr rootlet pack -o c.ext4 devtable:gone
    failed 1 "gone: open: No such file or directory"
    [ ! -e c.ext4 ]
}

@test "bsdtar's mtree of a folder, over the folder, gives what its archive gives" {
    mkdir -p "root/a dir/sub"
    echo text >"root/a dir/sub/file"
    ln -s 'to where' "root/a dir/link"
    mkfifo root/fifo
    touch -d '2001-02-03 04:05:06.070000000' "root/a dir/sub/file"
    chmod 4711 "root/a dir/sub/file"
    export LC_ALL=C.UTF-8
    : >"root/Grüße"
    bsdtar --format=pax --uid 5 --gid 6 --uname u --gname g -cf root.tar -C root .
    bsdtar --format=mtree --options='mtree:sha256' -cf spec @root.tar
    rootlet pack -o want.ext4 root.tar
    rootlet pack -o got.ext4 root mtree:spec
    rootlet ls -lR want.ext4 >want
    rootlet ls -lR got.ext4 | diff want -
    debugfs -R 'stat "/a dir/sub/file"' got.ext4 2>/dev/null | grep -q 'mtime: 0x3a7b8372:10b07600'
    # A file that is not the one that the specification was made of.
    echo taxt >"root/a dir/sub/file"
    run --separate-stderr rootlet pack -o bad.ext4 root mtree:spec
    failed 1 "read mtree: its content has another SHA-256"
    [[ $stderr =~ ^rootlet:\ spec:[0-9]+:\  ]]
    [ ! -e bad.ext4 ]
}

@test "an mtree with contents= makes a whole root" {
    mkdir host
    echo hello >host/motd
    cat >host/spec <<'END'
#mtree
/set type=file uid=0 gid=0 mode=0644
.           type=dir mode=0755
    etc     type=dir mode=0755
        motd    contents=motd size=6
        empty
        link    type=link link=motd
    ..
    dev     type=dir mode=0755
        console type=char mode=0600 device=linux,5,1
    ..
END
    rootlet pack -o a.ext4 mtree:host/spec
    fsck a.ext4
    [ "$(rootlet cat a.ext4:/etc/link)" = hello ]
    rootlet ls -l a.ext4:/dev | grep -q '^crw------- .* 5, 1 .* console'
    rootlet pack --plan --json mtree:host/spec | grep -q '"path":"/etc/motd","source":"mtree:host/spec"'
    sed -i 's/motd size=6/motd size=7/' host/spec
    run --separate-stderr rootlet pack -o b.ext4 mtree:host/spec
    failed 1 "host/spec:5: read mtree: its size is 7, and its content has 6 bytes"
    [ ! -e b.ext4 ]
}

@test "an mtree specification that closes all its directories, and one that goes through a symlink and back" {
    mkdir -p root/usr/lib
    ln -s usr/lib root/lib
    printf '. type=dir\n  lib type=dir\n    x type=file\n  ..\n  etc type=dir\n    motd type=file\n  ..\n..\n' >spec
    rootlet pack -o a.ext4 root mtree:spec
    rootlet ls -l a.ext4:/etc/motd a.ext4:/usr/lib/x
    printf '..\n' >>spec
    run -1 --separate-stderr rootlet pack -o b.ext4 root mtree:spec
    failed 1 'spec:9: read mtree: ".." above the top'
}
