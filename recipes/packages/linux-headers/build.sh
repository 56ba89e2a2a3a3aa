# Unpacks the headers of a linux-libc-dev package.

deb="$SRC/linux-libc-dev.deb"

# A .deb is an ar archive; the data member's name tells how it is compressed.
data=
for member in $(ar t "$deb"); do
    case $member in
        data.tar*) data=$member ;;
    esac
done
case $data in
    data.tar)     filter=cat ;;
    data.tar.gz)  filter="gzip -dc" ;;
    data.tar.xz)  filter="xz -dc" ;;
    data.tar.zst) filter="zstd -dc" ;;
    *) echo "linux-libc-dev.deb: no data.tar that can be unpacked: '$data'" >&2; exit 1 ;;
esac
ar p "$deb" "$data" >data
$filter <data >data.tar
tar -xf data.tar --no-same-owner

mkdir -p "$OUT/usr/include"
cp -R usr/include/. "$OUT/usr/include/"

# The machine's own asm/ is in a folder of its own, or a link into one; ours is for one machine.
asm=usr/include/$(gcc -print-multiarch)/asm
[ -d "$asm" ] || { echo "linux-libc-dev.deb: no asm/ for $(gcc -print-multiarch)" >&2; exit 1; }
rm -rf "$OUT"/usr/include/*-linux-gnu* "$OUT/usr/include/asm"
cp -RL "$asm" "$OUT/usr/include/asm"

for dir in asm asm-generic linux mtd rdma; do
    [ -d "$OUT/usr/include/$dir" ] || { echo "linux-libc-dev.deb: no $dir/" >&2; exit 1; }
done

mkdir -p "$OUT/usr/share/licenses/linux-headers"
cp usr/share/doc/linux-libc-dev/copyright "$OUT/usr/share/licenses/linux-headers/"
