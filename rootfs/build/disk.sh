# shellcheck shell=bash disable=SC2034
# The disk: verified root, Unified Kernel Image, EFI system partition, data partition, partition table.

ESP_MIB=36
TYPE_ESP=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
TYPE_ROOT=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709   # Linux root (x86-64), UAPI Group Discoverable Partitions
TYPE_VERITY=2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5 # and its hashes
TYPE_DATA=0FC63DAF-8483-4772-8E79-3D69D8477DE4   # Linux file system
TYPE_LUKS=CA7D7CCB-63ED-4C53-861C-1742536059CC   # Linux LUKS
VOLUME_MARK='cvm-agent: an empty volume, to be formatted at the first boot' # volume/header.h

# Identifiers that have no meaning of their own are made from what they stand for: the same input, the same disk.
uuid_from() { # uuid_from TEXT
    local h
    h=$(printf '%s' "cvm-agent image $1" | sha256sum)
    printf '%s-%s-8%s-a%s-%s\n' "${h:0:8}" "${h:8:4}" "${h:13:3}" "${h:17:3}" "${h:20:12}"
}

size_mib() { echo $((($(stat -c %s "$1") + 1048575) / 1048576)); }

root_make() { # root_make TREE WORK: leaves root, verity; sets ROOT_HASH, BLOCKS, SALT
    local out
    step "compressing the root"
    mkfs.erofs -zlz4hc,9 -T"$SOURCE_DATE_EPOCH" -U"$(uuid_from root)" --all-root --quiet "$2/root" "$1" >"$2/log" 2>&1 ||
        { cat "$2/log" >&2; die "mkfs.erofs failed"; }
    truncate -s %4096 "$2/root"
    BLOCKS=$(($(stat -c %s "$2/root") / 4096))
    SALT=$(sha256sum "$2/root" | cut -c1-64)
    out=$(veritysetup format --hash=sha256 --data-block-size=4096 --hash-block-size=4096 --salt="$SALT" \
        --uuid="$(uuid_from verity)" "$2/root" "$2/verity") || die "veritysetup failed"
    ROOT_HASH=$(sed -n 's/^Root hash:[[:space:]]*//p' <<<"$out")
    [[ $ROOT_HASH =~ ^[0-9a-f]{64}$ ]] || die "veritysetup gave no root hash"
    echo "  root $(size_mib "$2/root") MiB, root hash $ROOT_HASH"
}

# The kernel's command line. Every word is there for a reason; see docs/image.md.
cmdline() {
    local line="cvm.root=$ROOT_HASH module.sig_enforce=1 lockdown=integrity systemd.import_credentials=no"
    line+=" random.trust_bootloader=off oops=panic panic=1 vsyscall=none net.ifnames=0 console=ttyS0,115200"
    case $FLAVOUR in
    production) line+=" quiet loglevel=4 systemd.show_status=no" ;;
    *) line+=" loglevel=6 systemd.show_status=no cvm.flavour=$FLAVOUR" ;;
    esac
    # Only to show in a test that an attack works where a defence is missing.
    [ "$FLAVOUR" != test ] || line=${line/"${CVM_TEST_DROP_WORD:-no such word} "/}
    printf '%s' "$line"
}

# Sections are put behind the stub's last one, in the order that PCR 11 is computed in; then the fields that hold the
# time of making are cleared, because the Authenticode hash in PCR 4 covers the time stamp.
uki_make() { # uki_make POOL WORK: leaves WORK/uki.efi
    local pool=$1 work=$2 stub name at last
    local -a args=()
    step "joining kernel, initrd and command line"
    stub=$pool/usr/lib/systemd/boot/efi/linuxx64.efi.stub
    cp "$pool/boot/vmlinuz-$KERNEL" "$work/linux"
    printf '%s' "$CMDLINE" >"$work/cmdline"
    last=$(objdump -h "$stub" | awk '$1 ~ /^[0-9]+$/ { e = strtonum("0x" $4) + strtonum("0x" $3); if (e > m) m = e } END { print m }' 2>/dev/null) || last=""
    [ -n "$last" ] || last=$(objdump -h "$stub" | sed -n 's/^ *[0-9][0-9]* [^ ]* *\([0-9a-f]*\) *\([0-9a-f]*\).*/\1 \2/p' |
        while read -r n v; do echo $((0x$n + 0x$v)); done | sort -n | tail -1)
    at=$(((last + 4095) / 4096 * 4096))
    for name in osrel cmdline linux initrd; do
        args+=(--add-section ".$name=$work/$name" --change-section-vma ".$name=$(printf '%#x' $at)")
        at=$(((at + $(stat -c %s "$work/$name") + 4095) / 4096 * 4096))
    done
    objcopy "${args[@]}" "$stub" "$work/uki.efi" || die "objcopy failed"
    local header
    header=$(od -An -tu4 -j60 -N4 "$work/uki.efi" | tr -d ' ')
    printf '\0\0\0\0' | dd of="$work/uki.efi" bs=1 seek=$((header + 8)) conv=notrunc status=none  # TimeDateStamp
    printf '\0\0\0\0' | dd of="$work/uki.efi" bs=1 seek=$((header + 88)) conv=notrunc status=none # CheckSum
    echo "  $(size_mib "$work/uki.efi") MiB"
}

uki_sign() { # uki_sign WORK: for Secure Boot, if a key was given
    [ -n "$BOOT_KEY" ] || return 0
    step "signing the kernel image for Secure Boot"
    "$CVM_CLI" sign-kernel "$1/uki.efi" "$BOOT_KEY" "$BOOT_CERT" -o "$1/uki.efi" || die "the kernel image cannot be signed"
}

esp_make() { # esp_make WORK: leaves WORK/esp
    local esp=$1/esp uki=$1/uki.efi
    step "making the EFI system partition"
    [ "$(size_mib "$uki")" -lt $((ESP_MIB - 2)) ] || die "the kernel image of $(size_mib "$uki") MiB does not fit into $ESP_MIB MiB"
    rm -f "$esp"
    mkfs.vfat --invariant -F 32 -s 1 -n CVM-ESP -i "${ROOT_HASH:0:8}" -C "$esp" $((ESP_MIB * 1024)) >/dev/null
    touch -d "@$SOURCE_DATE_EPOCH" "$uki"
    TZ=UTC mmd -i "$esp" ::/EFI ::/EFI/BOOT
    TZ=UTC mcopy -m -i "$esp" "$uki" ::/EFI/BOOT/BOOTX64.EFI
}

# disk_join WORK OUT: the partition table and its contents in a sparse file.
disk_join() {
    local work=$1 out=$2 root_mib verity_mib start=1 name size
    local -a volume=()
    step "writing the partition table"
    root_mib=$(size_mib "$work/root")
    verity_mib=$(size_mib "$work/verity")
    rm -f "$out"
    truncate -s $((1 + ESP_MIB + root_mib + verity_mib + DATA_MIB + ${VOLUME_MIB:-0} + 1))M "$out"
    [ -z "$VOLUME_MIB" ] || volume=(-n "5:0:+${VOLUME_MIB}M" -t "5:$TYPE_LUKS" -c 5:cvm-volume -u 5:"$(uuid_from "volume $ROOT_HASH")")
    sgdisk --clear --disk-guid="$(uuid_from "disk $ROOT_HASH")" \
        -n 1:1M:+${ESP_MIB}M -t 1:$TYPE_ESP -c 1:cvm-esp -u 1:"$(uuid_from "esp $ROOT_HASH")" \
        -n 2:0:+"${root_mib}"M -t 2:$TYPE_ROOT -c 2:cvm-root -u 2:"$(partuuid "${ROOT_HASH:0:32}")" \
        -n 3:0:+"${verity_mib}"M -t 3:$TYPE_VERITY -c 3:cvm-verity -u 3:"$(partuuid "${ROOT_HASH:32:32}")" \
        -n 4:0:+"${DATA_MIB}"M -t 4:$TYPE_DATA -c 4:cvm-data -u 4:"$(uuid_from "data $ROOT_HASH")" \
        "${volume[@]}" "$out" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "sgdisk failed"; }
    for name in esp root verity data; do
        dd if="$work/$name" of="$out" bs=1M seek=$start conv=notrunc,sparse status=none
        size=$(size_mib "$work/$name")
        [ $name != esp ] || size=$ESP_MIB
        start=$((start + size))
    done
    [ -z "$VOLUME_MIB" ] || printf '%s\n' "$VOLUME_MARK" | dd of="$out" bs=1M seek=$start conv=notrunc status=none
}

partuuid() { printf '%s-%s-%s-%s-%s\n' "${1:0:8}" "${1:8:4}" "${1:12:4}" "${1:16:4}" "${1:20:12}"; }
