# Builds a UML kernel, configured by linux-um.config, from a linux-source package.

# The kernel's source is an archive in an archive, and 1.4 GB large. A quarter of it is unpacked: all
# that asks questions (Kconfig) or says what is built (Makefile), but of other machines and of drivers
# that UML cannot have no code.
source=linux-source-$VERSION
data=
for member in $(ar t "$SRC/$source.deb"); do
    case $member in
        data.tar*) data=$member ;;
    esac
done
[ -n "$data" ] || { echo "$source.deb: no data.tar" >&2; exit 1; }
ar p "$SRC/$source.deb" "$data" >"$data"
tar -xf "$data" --no-same-owner "./usr/src/$source.tar.xz"
rm "$data"
{
    printf '%s\n' 'arch/[a-t]*/*.*' 'arch/xtensa/*.*' 'Documentation/*.*' 'samples/*.*' 'rust/*.*' \
        'tools/[!i]*' 'sound/*.[ch]' 'drivers/net/*/*.[ch]'
    for driver in clk comedi crypto dma gpu hid hwmon iio infiniband input media mfd misc mmc mtd pci \
        phy pinctrl platform regulator s390 scsi spi staging usb video; do
        echo "drivers/$driver/*.[ch]"
    done
} | sed "s,^,$source/," >excluded
tar -xf "usr/src/$source.tar.xz" --no-same-owner --wildcards --exclude-from=excluded
rm "usr/src/$source.tar.xz"
cd "$source"

for patch in $PATCHES; do
    patch -p1 <"$patch"
done

# Nothing of who built it, when, where and how often must get into the kernel.
export KBUILD_BUILD_TIMESTAMP="$(date -u -d "@$SOURCE_DATE_EPOCH")"
export KBUILD_BUILD_USER=rootlet KBUILD_BUILD_HOST=rootlet KBUILD_BUILD_VERSION=1

# Tables for unwinding are the eighth part of a program that unwinds by its frame pointers.
build() {
    make ARCH=um CC="$DEPS/musl/bin/musl-gcc" HOSTCC=gcc KCFLAGS=-fno-asynchronous-unwind-tables "$@"
}

# Only what linux-um.config asks for is built in, and what that needs.
build KCONFIG_ALLCONFIG="$RECIPE/linux-um.config" allnoconfig

# A symbol that is unknown, or whose dependencies are not met, is dropped, and nothing is said that
# would stop a build. Every line of the fragment must have survived.
bad=0
while IFS= read -r line; do
    case $line in
        CONFIG_*=*)                symbol=${line%%=*} ;;
        "# CONFIG_"*" is not set") symbol=${line#"# "} symbol=${symbol%% *} ;;
        "" | "#"*) continue ;;
        *) echo "linux-um.config: not a setting: $line" >&2; bad=1; continue ;;
    esac
    if ! grep -qxF -e "$line" .config; then
        echo "linux-um.config: $symbol is unknown or was changed: asked '$line'," \
             "got '$(grep -e "^$symbol=" -e "^# $symbol " .config)'" >&2
        bad=1
    fi
done <"$RECIPE/linux-um.config"
[ "$bad" = 0 ] || exit 1

build linux

# With a dynamic loader it would ask for the host's C library.
if readelf -lW linux | grep -q INTERP; then
    echo "linux: asks for a dynamic loader, so it is not static" >&2
    exit 1
fi

mkdir -p "$OUT/boot"
strip -o "$OUT/boot/linux" linux
cp .config "$OUT/boot/config"

mkdir -p "$OUT/usr/share/licenses/linux-um"
cp COPYING LICENSES/preferred/GPL-2.0 LICENSES/exceptions/Linux-syscall-note "$OUT/usr/share/licenses/linux-um/"
