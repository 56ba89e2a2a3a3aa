# Builds busybox, configured by busybox.config or minimal.config, and installs it with one symlink per applet.

case $OPTION_APPLETS in
    minimal) config=minimal.config ;;
    *)       config=busybox.config ;;
esac

tar -xf "$SRC/busybox-$VERSION.tar.bz2"
cd "busybox-$VERSION"

# The build date must not get into the program.
export KCONFIG_NOTIMESTAMP=1

# Only what the fragment asks for is built, with all its features at their defaults. So: the
# fragment, then "no" to what allnoconfig asks about, for the first word on a symbol counts. oldconfig
# then asks about each symbol that the fragment made visible, and an empty answer takes the default.
# It asks again, for ever, when it does not like an answer: so both time and output have an end.
make allnoconfig >allnoconfig.log 2>&1 || { cat allnoconfig.log; exit 1; }
{
    cat "$RECIPE/$config"
    sed -n 's/.*(\([A-Za-z0-9_]*\)) \[[Nn]\/.*/# CONFIG_\1 is not set/p' allnoconfig.log
} >.config
{ yes '' 2>&- | timeout 300 make oldconfig && : >oldconfig.done; } 2>&1 | head -c 1000000 >oldconfig.log
[ -e oldconfig.done ] || { tail -n 20 oldconfig.log; echo "$config: make oldconfig failed" >&2; exit 1; }

"$DEPS/build-tools/bin/check-kconfig" "$RECIPE/$config" .config

make CC="$DEPS/musl/bin/musl-gcc" HOSTCC=gcc SKIP_STRIP=n busybox

"$DEPS/build-tools/bin/check-static" busybox

make CC="$DEPS/musl/bin/musl-gcc" HOSTCC=gcc CONFIG_PREFIX="$OUT" install

# udhcpc's helper, ash's manual and so on are not installed by make install; nothing else is wanted.
rm -f "$OUT/linuxrc"

mkdir -p "$OUT/usr/share/licenses/busybox"
cp LICENSE "$OUT/usr/share/licenses/busybox/"
cp archival/libarchive/bz/LICENSE "$OUT/usr/share/licenses/busybox/LICENSE.bzip2"
