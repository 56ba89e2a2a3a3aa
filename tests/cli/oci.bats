#!/usr/bin/env bats
# Container images as sources: layouts, archives, layers, whiteouts, platforms, digests.
load helper

digest() { sha256sum "$1" | cut -d' ' -f1; }

# blob FILE: into the layout; prints its digest.
blob() {
    local hex
    hex=$(digest "$1")
    mkdir -p layout/blobs/sha256
    cp "$1" "layout/blobs/sha256/$hex"
    echo "$hex"
}

# descriptor FILE TYPE [MORE]: a descriptor of a file that goes into the layout.
descriptor() {
    printf '{"mediaType":"%s","digest":"sha256:%s","size":%d%s}' "$2" "$(blob "$1")" "$(stat -c %s "$1")" "${3:-}"
}

# layer NAME COMMAND...: what the commands make in an empty folder becomes NAME.tar.
layer() {
    mkdir "$1.d"
    (cd "$1.d" && eval "$2")
    tar --sort=name --mtime=@1600000000 --numeric-owner --format=pax --pax-option=delete=atime,delete=ctime \
        ${3:---owner=0 --group=0} -C "$1.d" -cf "$1.tar" .
}

# manifest NAME ARCHITECTURE LAYER...: writes NAME.json, the manifest of an image; a layer is FILE:TYPE.
manifest() {
    local name=$1 architecture=$2 layers= ids= layer file
    shift 2
    for layer in "$@"; do
        file=${layer%%:*}
        layers=$layers${layers:+,}$(descriptor "$file" "application/vnd.oci.image.layer.v1.tar${layer#*:}")
        ids=$ids${ids:+,}\"sha256:$(digest "${file%.tar*}.tar")\"
    done
    cat >config.json <<END
{"os":"linux","architecture":"$architecture","rootfs":{"type":"layers","diff_ids":[$ids]},
 "config":{"Env":["PATH=/bin"],"Entrypoint":["/bin/app"],"Cmd":["-v"],"WorkingDir":"/srv","User":"me","Labels":{"a":"b"}}}
END
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
        "$(descriptor config.json application/vnd.oci.image.config.v1+json)" "$layers" >"$name.json"
}

# index DESCRIPTOR...: the layout's index.json.
index() {
    local IFS=,
    printf '{"schemaVersion":2,"manifests":[%s]}' "$*" >layout/index.json
    echo '{"imageLayoutVersion":"1.0.0"}' >layout/oci-layout
}

MANIFEST=application/vnd.oci.image.manifest.v1+json

# Three layers that do to each other what layers can do.
three_layers() {
    layer one 'mkdir -p bin usr/lib etc/conf.d opt/gone opt/kept/deep var/old
        ln -s usr/lib lib
        echo app >bin/app; chmod 4755 bin/app
        ln bin/app bin/same; ln bin/app bin/other
        echo 1 >etc/conf.d/a; echo 1 >etc/conf.d/b
        echo x >opt/gone/x; echo y >opt/kept/deep/y
        echo file >becomes-dir; mkdir becomes-file; echo in >becomes-file/in
        mkdir wasdir; echo keep >wasdir/keep; ln -s /etc absolute'
    layer two 'mkdir -p etc/conf.d opt/kept lib-x becomes-dir bin
        touch opt/.wh.gone etc/conf.d/.wh..wh..opq bin/.wh.same
        echo 2 >etc/conf.d/c
        echo in >becomes-dir/in; echo now >becomes-file
        chmod 0700 opt/kept; rmdir lib-x'
    # Through the symlinks /lib and /absolute, and a hard link to a file of the first layer.
    mkdir three.d three.d/lib three.d/absolute three.d/bin
    echo so >three.d/lib/libx.so; echo host >three.d/absolute/hostname
    echo app >three.d/bin/app; ln three.d/bin/app three.d/bin/third
    (cd three.d && tar --mtime=@1600000000 --owner=7 --group=8 --numeric-owner -cf ../three.tar lib/libx.so \
        absolute/hostname bin/app bin/third && tar --delete -f ../three.tar bin/app)
    gzip -nk two.tar
    skip_unless 'command -v zstd' zstd
    zstd -q three.tar
}

expected() {
    cat <<'END'
/absolute -> /etc
/becomes-dir/
/becomes-dir/in 0644 0:0 1 in
/becomes-file 0644 0:0 1 now
/bin/
/bin/app 04755 0:0 3 app
/bin/other 04755 0:0 3 app
/bin/third 04755 0:0 3 app
/etc/
/etc/conf.d/
/etc/conf.d/c 0644 0:0 1 2
/etc/hostname 0644 7:8 1 host
/lib -> usr/lib
/opt/
/opt/kept/
/opt/kept/deep/
/opt/kept/deep/y 0644 0:0 1 y
/usr/
/usr/lib/
/usr/lib/libx.so 0644 7:8 1 so
/var/
/var/old/
/wasdir/
/wasdir/keep 0644 0:0 1 keep
END
}

# What is in an image, as debugfs sees it: path, mode, owner, links, content.
show() {
    local path type
    rm -rf seen && mkdir seen
    debugfs -R "rdump / seen" "$1" 2>/dev/null
    (cd seen && find . -mindepth 1 ! -path ./lost+found | LC_ALL=C sort) | while IFS= read -r path; do
        path=${path#.}
        if [ -L "seen$path" ]; then
            echo "$path -> $(readlink "seen$path")"
        elif [ -d "seen$path" ]; then
            echo "$path/"
        else
            debugfs -R "stat \"$path\"" "$1" 2>/dev/null | perl -ne '
                $m = $1 if /Mode:\s+(\d+)/; $u = "$1:$2" if /User:\s+(\d+)\s+Group:\s+(\d+)/;
                $l = $1 if /Links: (\d+)/; END { printf "%s %s %s ", $m, $u, $l }' >stat
            echo "$path $(cat stat)$(cat "seen$path")"
        fi
    done
}

layout() {
    three_layers
    manifest image amd64 one.tar: two.tar.gz:+gzip three.tar.zst:+zstd
    index "$(descriptor image.json $MANIFEST ',"annotations":{"org.opencontainers.image.ref.name":"latest"}')"
}

@test "the layers of an OCI layout, whiteouts and hard links over layers" {
    layout
    rootlet pack -o a.ext4 oci:layout
    fsck a.ext4
    expected >want
    show a.ext4 >got
    diff want got
    debugfs -R 'stat /opt/kept' a.ext4 2>/dev/null | grep -q 'Mode:  0700'
    # By its tag, out of an archive, and out of a compressed one: the same bytes.
    rootlet pack -o b.ext4 oci:layout:latest
    cmp a.ext4 b.ext4
    tar -C layout -cf layout.tar .
    rootlet pack -o b.ext4 oci-archive:layout.tar
    show b.ext4 | diff want -
    gzip layout.tar
    rootlet pack -o b.ext4 oci-archive:layout.tar.gz:latest
    show b.ext4 | diff want -
}

@test "the same image as docker save writes it" {
    three_layers
    manifest image amd64 one.tar: two.tar: three.tar:
    mkdir -p save/one save/two save/three
    config=$(digest config.json)
    cp config.json "save/$config.json"
    cp one.tar save/one/layer.tar
    # Layers may be compressed, and symlinks.
    cp two.tar.gz save/two/layer.tar
    cp three.tar save/three/real.tar
    ln -s ../three/real.tar save/three/layer.tar
    printf '[{"Config":"%s.json","RepoTags":["me/app:1"],"Layers":["one/layer.tar","two/layer.tar","three/layer.tar"]}]' \
        "$config" >save/manifest.json
    tar -C save -cf save.tar .
    rootlet pack -o a.ext4 docker-archive:save.tar
    fsck a.ext4
    expected >want
    show a.ext4 | diff want -
    rootlet pack -o b.ext4 docker-archive:save.tar:me/app:1
    cmp a.ext4 b.ext4
    run --separate-stderr rootlet pack -o b.ext4 docker-archive:save.tar:me/app:2
    failed 1 'save.tar: me/app:2: read image: there is no image with that tag'
    # A layer that is not the one of its diff_id.
    cp one.tar save/two/layer.tar
    tar -C save -cf save.tar .
    run --separate-stderr rootlet pack -o c.ext4 docker-archive:save.tar
    failed 1 'two/layer.tar: read image: its bytes are not those of its digest'
    [ ! -e c.ext4 ]
}

@test "what a container runs is kept when it is asked for" {
    layout
    rootlet pack -o a.ext4 --oci-config oci:layout
    fsck a.ext4
    rootlet cat a.ext4:/etc/rootlet/oci.json >got
    cat >want <<'END'
{
  "Cmd": [
    "-v"
  ],
  "Entrypoint": [
    "/bin/app"
  ],
  "Env": [
    "PATH=/bin"
  ],
  "User": "me",
  "WorkingDir": "/srv"
}
END
    diff want got
    # From a pipe, too.
    rootlet pack -o b.ext4 --oci-config oci-archive:- < <(tar -C layout -cf - .)
    rootlet cat b.ext4:/etc/rootlet/oci.json | diff want -
    run --separate-stderr rootlet pack -o b.ext4 --oci-config one.d
    failed 2 '--oci-config goes with a container image'
}

@test "an image is chosen by platform and tag" {
    layer one 'echo amd >which'
    layer two 'echo arm >which'
    layer six 'echo other >which'
    manifest amd amd64 one.tar:
    manifest arm arm64 two.tar:
    manifest other s390x six.tar:
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s,%s,%s]}' \
        "$(descriptor arm.json $MANIFEST ',"platform":{"os":"linux","architecture":"arm64","variant":"v8"}')" \
        "$(descriptor amd.json $MANIFEST ',"platform":{"os":"linux","architecture":"amd64"}')" \
        "$(descriptor six.tar $MANIFEST ',"platform":{"os":"unknown","architecture":"unknown"}')" >multi.json
    index "$(descriptor multi.json application/vnd.oci.image.index.v1+json \
        ',"annotations":{"org.opencontainers.image.ref.name":"v1"}')" \
        "$(descriptor other.json $MANIFEST ',"annotations":{"org.opencontainers.image.ref.name":"v2"}')"
    rootlet pack -o a.ext4 --platform linux/arm64 oci:layout
    [ "$(rootlet cat a.ext4:/which)" = arm ]
    rootlet pack -o a.ext4 --platform linux/arm64/v8 oci:layout:v1
    [ "$(rootlet cat a.ext4:/which)" = arm ]
    rootlet pack -o a.ext4 --platform linux/amd64 oci:layout
    [ "$(rootlet cat a.ext4:/which)" = amd ]
    rootlet pack -o a.ext4 oci:layout:v2
    [ "$(rootlet cat a.ext4:/which)" = other ]
    rootlet pack -o a.ext4 oci:layout:@1
    [ "$(rootlet cat a.ext4:/which)" = other ]
    rm a.ext4
    run --separate-stderr rootlet pack -o a.ext4 --platform linux/riscv64 oci:layout
    failed 1 'layout: read image: no image for linux/riscv64: it has linux/arm64/v8, linux/amd64, linux/s390x'
    run --separate-stderr rootlet pack -o a.ext4 --platform linux/amd64 oci:layout:v2
    failed 1 'no image for linux/amd64'
    run --separate-stderr rootlet pack -o a.ext4 oci:layout:v3
    failed 1 'layout: v3: read image: there is no image with that tag'
    index "$(descriptor amd.json $MANIFEST ',"annotations":{"org.opencontainers.image.ref.name":"a"}')" \
        "$(descriptor amd.json $MANIFEST ',"annotations":{"org.opencontainers.image.ref.name":"b"}')"
    run --separate-stderr rootlet pack -o a.ext4 --platform linux/amd64 oci:layout
    failed 1 'more than one image: name it by its tag, PATH:TAG: it has a, b'
    only *.d *.tar *.json layout
}

@test "whatever is not as its digest and size say is refused" {
    layer one 'echo a >a'
    gzip -nk one.tar
    manifest image amd64 one.tar.gz:+gzip
    index "$(descriptor image.json $MANIFEST)"
    rootlet pack -o a.ext4 oci:layout
    rm a.ext4
    hex=$(digest one.tar.gz)
    # One byte of the layer, its length, the layer not there, a manifest that is another one.
    printf 'X' | dd of="layout/blobs/sha256/$hex" bs=1 seek=20 conv=notrunc status=none
    run --separate-stderr rootlet pack -o a.ext4 oci:layout
    failed 1 "layout: blobs/sha256/$hex: read image: its bytes are not those of its digest"
    cp one.tar.gz "layout/blobs/sha256/$hex"
    echo >>"layout/blobs/sha256/$hex"
    run --separate-stderr rootlet pack -o a.ext4 oci:layout
    failed 1 "it has $(($(stat -c %s one.tar.gz) + 1)) bytes, and should have $(stat -c %s one.tar.gz)"
    rm "layout/blobs/sha256/$hex"
    run --separate-stderr rootlet pack -o a.ext4 oci:layout
    failed 1 "layout: blobs/sha256/$hex: read image: it is not there"
    cp one.tar.gz "layout/blobs/sha256/$hex"
    sed -i 's/"schemaVersion":2/"schemaVersion":3/' "layout/blobs/sha256/$(digest image.json)"
    run --separate-stderr rootlet pack -o a.ext4 oci:layout
    failed 1 "its bytes are not those of its digest"
    ln -sf /etc/passwd "layout/blobs/sha256/$(digest image.json)"
    run --separate-stderr rootlet pack -o a.ext4 oci:layout
    failed 1 "blobs/sha256/$(digest image.json): read image: "
    echo '{"manifests":[{"digest":"sha256:../../../etc/passwd","size":1}]}' >layout/index.json
    run --separate-stderr rootlet pack -o a.ext4 oci:layout
    failed 1 "a digest that is no SHA-256"
    echo '{"manifests":' >layout/index.json
    run --separate-stderr rootlet pack -o a.ext4 oci:layout
    failed 1 "layout: index.json: read image: not JSON: line 2"
    rm layout/index.json
    run --separate-stderr rootlet pack -o a.ext4 oci:layout
    failed 1 "layout: index.json: read image: it is not there"
    run --separate-stderr rootlet pack -o a.ext4 oci:nowhere
    failed 1 "nowhere: open: No such file or directory"
    [ ! -e a.ext4 ]
}

@test "layers that try to get out, and odd whiteouts" {
    hostile() {
        rm -rf layout
        manifest image amd64 one.tar: "$1:"
        index "$(descriptor image.json $MANIFEST)"
        run --separate-stderr rootlet pack -o a.ext4 oci:layout
    }
    layer one 'mkdir dir; echo a >dir/a; ln -s /dir out; ln -s ../../../dir up'
    mkdir x x/y x/dir && echo b >x/y/b && touch x/.wh... x/.wh. x/.wh.gone
    tar -C x/y -cPf dots.tar --transform 's,^b,../b,' b
    hostile dots.tar
    failed 1 '../b: read archive: a name with ".."'
    tar -C x -cf parent.tar .wh...
    hostile parent.tar
    failed 1 'a whiteout of nothing that can be there'
    tar -C x -cf empty.tar .wh.
    hostile empty.tar
    failed 1 'a whiteout of nothing that can be there'
    # A whiteout of nothing is fine; symlinks lead around inside of where the image goes.
    tar -C x -cf fine.tar .wh.gone --transform 's,^y,out,;s,^dir,up,' y/b
    rm -rf layout
    manifest image amd64 one.tar: fine.tar:
    index "$(descriptor image.json $MANIFEST)"
    rootlet pack -o a.ext4 --at /srv/image oci:layout
    fsck a.ext4
    [ "$(rootlet ls -1 a.ext4:/srv/image/dir | xargs)" = "a b" ]
    [ "$(rootlet ls -1 a.ext4:/ | xargs)" = "lost+found srv" ]
    # A directory of a layer replaces the symlink that was there.
    mkdir -p real/out && tar -C real -cf real.tar out
    manifest image amd64 one.tar: real.tar:
    index "$(descriptor image.json $MANIFEST)"
    rootlet pack -o b.ext4 oci:layout
    debugfs -R 'stat /out' b.ext4 2>/dev/null | grep -q 'Type: directory'
}
