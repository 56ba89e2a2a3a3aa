#!/usr/bin/env bats
# Globs in the paths of images: as the shell's, in the image.
load helper

make_tree() {
    mkdir -p d/etc/sub/deep d/.hidden d/other
    for f in a.conf b.conf .dot.conf c.txt 'x*y.conf' sub/s.conf sub/deep/t.conf; do echo "$f" >d/etc/"$f"; done
    echo h >d/.hidden/h.conf
    echo o >d/other/o.conf
    ln -s etc d/link
    ln -s nowhere d/dangling
    rootlet pack -q -o i.ext4 d
    cp -r d/. folder 2>/dev/null || { mkdir folder; cp -a d/. folder; }
    mkdir folder/lost+found
}

# The shell finds the same in the folder as rootlet in the image.
same_as_shell() {
    local pattern=$1
    (cd folder && shopt -s globstar nullglob && LC_ALL=C && for f in $pattern; do printf '/%s\n' "$f"; done) >shell
    rootlet stat --json "i.ext4:/$pattern" | python3 -c 'import json, sys
for line in sys.stdin: print(json.loads(line)["path"])' | grep -vx / >ours
    diff shell ours
    [ -s shell ]
}

@test "globs are the shell's" {
    make_tree
    for pattern in '*' 'etc/*' 'etc/*.conf' 'etc/?.conf' 'etc/[ab].*' 'etc/[!a]*' 'etc/.*.conf' '*/*.conf' \
        'link/*.conf' '*/sub/*' 'etc/*/' '*/' '*/*/' '.h*/*' '**/*.conf' 'etc/**' '**/' 'etc/**/t.conf' 'etc/**/' \
        '**/**/s.conf' '*/**/deep/*' 'etc/[x]\*y.conf' '//etc//*.conf'; do
        echo "$pattern"
        case $pattern in
            //*) rootlet ls -d "i.ext4:$pattern" | grep -qx '/etc/a.conf' ;;
            *) same_as_shell "$pattern" ;;
        esac
    done
    [ "$(rootlet ls -d 'i.ext4:/etc/x\*y.conf')" = '/etc/x*y.conf' ]
}

@test "what is there as it is written stands for itself" {
    make_tree
    [ "$(rootlet cat 'i.ext4:/etc/x*y.conf')" = 'x*y.conf' ]
    rm 'd/etc/x*y.conf'
    touch d/etc/x1y.conf d/etc/x2y.conf
    rm i.ext4
    rootlet pack -q -o i.ext4 d
    run -0 --separate-stderr rootlet ls -d 'i.ext4:/etc/x*y.conf'
    [ "$output" = "/etc/x1y.conf
/etc/x2y.conf" ]
}

@test "no match is an error, and the other words follow" {
    make_tree
    run -1 --separate-stderr rootlet cat 'i.ext4:/etc/*.none' 'i.ext4:/etc/c*'
    failed 1 'i.ext4:/etc/*.none: open: no match'
    [ "$output" = c.txt ]
    run -1 --separate-stderr rootlet ls 'i.ext4:/[/x' 'i.ext4:/dangling/*' 'i.ext4:/etc/a.conf/*'
    [ "$(grep -c 'no match' <<<"$stderr")" = 3 ]
}

@test "all that look take them; those of one path say that there are more" {
    make_tree
    [ "$(rootlet cat 'i.ext4:/etc/[ab].conf')" = $'a.conf\nb.conf' ]
    [ "$(rootlet find 'i.ext4:/etc/su*' -name '*.conf')" = $'/etc/sub/deep/t.conf\n/etc/sub/s.conf' ]
    [ "$(rootlet du -s 'i.ext4:/[eo]*' | cut -f2)" = $'/etc\n/other' ]
    [ "$(rootlet tree 'i.ext4:/oth*' | head -1)" = /other ]
    mkdir out
    rootlet cp 'i.ext4:/etc/?.conf' out
    diff -r <(ls out) <(printf 'a.conf\nb.conf\n')
    run -1 --separate-stderr rootlet cp 'i.ext4:/etc/?.conf' nowhere
    failed 1 "several files go into a folder only"
    run -1 --separate-stderr rootlet cp 'i.ext4:/etc/[cs]*' out
    failed 1 'i.ext4:/etc/sub: copy: it is a directory: -r'
    [ -e out/c.txt ]
    rootlet cp -r 'i.ext4:/etc/s*' out
    [ -e out/sub/deep/t.conf ]
    rootlet tar 'i.ext4:/o*' | tar tf - | grep -qx ./o.conf
    for verb in "tar -o out.tar" manifest; do
        run -1 --separate-stderr rootlet $verb 'i.ext4:/[eo]*'
        failed 1 'i.ext4:/[eo]*: open: it stands for 2 paths, and only one is wanted'
    done
    run -1 --separate-stderr rootlet diff --content 'i.ext4:/oth*' d/etc/sub
    [[ $output == *"D /o.conf"* ]]
}

@test "an image is opened, and its state told, once" {
    make_tree
    rm i.ext4
    rootlet pack -q -o i.ext4 --size 32M d
    dumpe2fs -h i.ext4 2>/dev/null | grep -q has_journal
    debugfs -w -R 'feature needs_recovery' i.ext4 >/dev/null 2>&1
    run -0 --separate-stderr rootlet cat --no-replay 'i.ext4:/etc/*.conf' i.ext4:/etc/c.txt
    [ "$(grep -c 'not cleanly unmounted' <<<"$stderr")" = 1 ]
}

@test "a directory that contains itself ends the search" {
    make_tree
    mkdir d/etc/sub/deep/loop
    rm i.ext4
    rootlet pack -q -o i.ext4 --features ^metadata_csum d
    etc=$(rootlet stat --json i.ext4:/etc | python3 -c 'import json,sys; print(json.load(sys.stdin)["inode"])')
    debugfs -w -R "link <$etc> /etc/sub/deep/loop/again" i.ext4 2>/dev/null
    run -1 --separate-stderr timeout 20 "$ROOTLET" cat 'i.ext4:/**/t.conf'
    [ "$output" = sub/deep/t.conf ]
    [[ $stderr == *"contains itself"* ]]
}

@test "with several images each line says which one it is of" {
    make_tree
    cp i.ext4 j.ext4
    [ "$(rootlet find i.ext4:/etc/sub/deep j.ext4:/other -name '*.conf')" = $'i.ext4:/etc/sub/deep/t.conf\nj.ext4:/other/o.conf' ]
    [ "$(rootlet find -0 'i.ext4:/oth*' j.ext4:/other -type f | tr '\0' ' ')" = 'i.ext4:/other/o.conf j.ext4:/other/o.conf ' ]
    rootlet find i.ext4 j.ext4 -path '/other/*' | xargs "$ROOTLET" cat | diff - <(printf 'o\no\n')
    rootlet du -s i.ext4 j.ext4 | cut -f2 | diff - <(printf 'i.ext4:/\nj.ext4:/\n')
    rootlet tree i.ext4:/other j.ext4 | grep -A3 ext4 >seen
    diff seen - <<'END'
i.ext4:/other
└── o.conf

0 directories, 1 files
j.ext4
├── dangling -> nowhere
├── etc
│   ├── a.conf
END
    for verb in "find --json" "tree --json" "du -a --json" "ls --json -R" "ls --json -d"; do
        rootlet $verb i.ext4:/etc/sub i.ext4:/other/o.conf | python3 -c 'import json, sys
assert all("image" not in json.loads(line) for line in sys.stdin)'
        rootlet $verb i.ext4:/etc/sub j.ext4:/other/o.conf i.ext4 | python3 -c 'import json, sys
seen = {(o["image"], o["path"]) for o in map(json.loads, sys.stdin)}
assert ("j.ext4", "/other/o.conf") in seen and ("j.ext4", "/etc") not in seen, seen
assert any(i == "i.ext4" for i, p in seen), seen'
    done
}
