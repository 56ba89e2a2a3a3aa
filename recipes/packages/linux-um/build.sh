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

"$DEPS/build-tools/bin/check-kconfig" "$RECIPE/linux-um.config" .config

build linux

"$DEPS/build-tools/bin/check-static" linux

mkdir -p "$OUT/boot"
strip -o "$OUT/boot/linux" linux
cp .config "$OUT/boot/config"

mkdir -p "$OUT/usr/share/licenses/linux-um"
cp COPYING LICENSES/preferred/GPL-2.0 LICENSES/exceptions/Linux-syscall-note "$OUT/usr/share/licenses/linux-um/"
