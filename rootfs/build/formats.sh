# shellcheck shell=bash
# The disk in the formats of the clouds, each looked at by qemu-img before it is given its name.

format_name() { # format_name FORMAT BASE: the file's name
    case $1 in
    raw) echo "$2.raw" ;;
    qcow2) echo "$2.qcow2" ;;
    azure) echo "$2.vhd" ;;
    gcp) echo "$2.tar.gz" ;;
    aws) echo "$2.vmdk" ;;
    esac
}

format_make() { # format_make FORMAT RAW OUT
    local gib
    case $1 in
    raw) return 0 ;;
    qcow2) qemu-img convert -f raw -O qcow2 -c "$2" "$3" && format_same qcow2 "$2" "$3" ;;
    # Azure: fixed, a whole number of MiB, and the size of the disk in the footer instead of its geometry.
    azure) qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on "$2" "$3" && format_same vpc "$2" "$3" ;;
    aws) qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$2" "$3" && format_same vmdk "$2" "$3" ;;
    # Google Cloud: a tar in the old GNU format with one sparse file disk.raw of whole GiB.
    gcp)
        gib=$((($(stat -c %s "$2") + (1 << 30) - 1) >> 30))
        mkdir -p "$3.tmp"
        cp --sparse=always "$2" "$3.tmp/disk.raw"
        truncate -s ${gib}G "$3.tmp/disk.raw"
        sgdisk --move-second-header "$3.tmp/disk.raw" >/dev/null
        touch -d "@$SOURCE_DATE_EPOCH" "$3.tmp/disk.raw"
        tar --format=oldgnu --sparse --owner=0 --group=0 --numeric-owner --mode=0644 -C "$3.tmp" -c disk.raw | gzip -n >"$3"
        rm -rf "$3.tmp"
        [ "$(tar -tzf "$3")" = disk.raw ]
        ;;
    esac || die "the disk cannot be written as $1"
}

format_same() { # format_same QEMU-FORMAT RAW OUT: the same disk, byte for byte
    qemu-img compare -q -f raw -F "$1" "$2" "$3" || die "the $1 disk is not the one that was built"
}
