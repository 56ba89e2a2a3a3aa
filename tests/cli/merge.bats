#!/usr/bin/env bats
# Sources over one another: who wins, where names lead, who gave what.
load helper

# "TYPE PATH" of all that is in an image.
paths() {
    rm -rf seen && mkdir seen
    debugfs -R "rdump / seen" "$1" 2>/dev/null
    (cd seen && find . -mindepth 1 ! -path ./lost+found -printf '%y %P %l\n' | sed 's/ $//' | LC_ALL=C sort -k2)
}

# A root whose /lib and /bin are symlinks, and whose /run leads nowhere.
usrmerged() {
    mkdir -p base/usr/lib base/usr/bin
    ln -s usr/lib base/lib
    ln -s /usr/bin base/bin
    ln -s nowhere base/run
    ln -s file base/tofile
    echo old >base/file
    echo libc >base/usr/lib/libc.so
    chmod 0711 base/usr/lib
}

@test "what is laid over a usrmerged root goes where its symlinks lead" {
    usrmerged
    mkdir -p over/lib/modules/6.1 over/bin over/run/lock over/tofile over/usr/bin
    echo mod >over/lib/modules/6.1/dep
    echo new >over/lib/libc.so
    echo sh >over/bin/sh
    echo from-usr >over/usr/bin/sh
    chmod 0700 over/lib over/run
    tar --owner=0 --group=0 -cf over.tar -C over .
    for over in over over.tar; do
        rootlet pack -o a.ext4 base $over
        fsck a.ext4
        [ "$over" = over ] || [ "$(tar tf over.tar | grep -n 'bin/sh' | wc -l)" = 2 ]
        paths a.ext4 >got
        cat >want <<'END'
l bin /usr/bin
f file
l lib usr/lib
d run
d run/lock
d tofile
d usr
d usr/bin
f usr/bin/sh
d usr/lib
f usr/lib/libc.so
d usr/lib/modules
d usr/lib/modules/6.1
f usr/lib/modules/6.1/dep
END
        diff want got
        [ "$(rootlet cat a.ext4:/usr/lib/libc.so)" = new ]
        # The symlink's own directory keeps its mode, a new one has its own.
        debugfs -R 'stat /usr/lib' a.ext4 2>/dev/null | grep -q 'Mode:  0711'
        debugfs -R 'stat /run' a.ext4 2>/dev/null | grep -q 'Mode:  0700'
    done
    # Of a folder, what comes through a symlink is put last.
    rootlet pack -o a.ext4 base over
    [ "$(rootlet cat a.ext4:/usr/bin/sh)" = sh ]
}

@test "a file over a directory, a directory over a file, hard links of other sources" {
    mkdir -p one/dir/sub two/file three
    echo in >one/dir/sub/in
    echo one >one/file
    echo link >one/a
    ln one/a one/b
    echo now >two/dir
    echo in >two/file/in
    echo else >three/a
    (cd three && ln a c && tar -cf ../three.tar a c)
    rootlet pack -o a.ext4 one two three.tar
    fsck a.ext4
    paths a.ext4 >got
    printf '%s\n' 'f a' 'f b' 'f c' 'f dir' 'd file' 'f file/in' | diff - got
    [ "$(rootlet cat a.ext4:/a a.ext4:/b a.ext4:/c a.ext4:/dir | xargs)" = "else link else now" ]
    rootlet ls -l a.ext4:/a | grep -q '  2 0'
    rootlet ls -l a.ext4:/b | grep -q '  1 0'
}

@test "the plan tells who gave each path" {
    mkdir -p one/etc two/etc
    echo 1 >one/etc/conf
    echo 1 >one/etc/only
    echo 2 >two/etc/conf
    tar -cf three.tar -C two etc/conf
    rootlet pack --plan --json one two three.tar >plan
    perl -MJSON::PP -e '
        my $p = decode_json(join "", <>);
        my %by = map { $_->{path} => $_ } @{$p->{paths}};
        my $show = sub { join " < ", $by{$_[0]}{source} // "none", @{$by{$_[0]}{replaced} || []} };
        print "$_: ", $show->($_), "\n" for sort keys %by' plan >got
    cat >want <<'END'
/: two < one
/etc: two < one
/etc/conf: three.tar < two < one
/etc/only: one
/lost+found: none
END
    diff want got
    rootlet pack --plan one two three.tar | grep -q '  1 paths        1 replace others  three.tar'
    only got one plan three.tar two want
}
