#include "image/fat.h"

#define ENTRY_SIZE    32u
#define NAME_SIZE     11u
#define ATTR_FOLDER   0x10u
#define ATTR_LABEL    0x08u /* volume labels, and the entries of long names */
#define CLUSTER_MASK  0x0FFFFFFFu
#define CLUSTER_END   0x0FFFFFF8u
#define CLUSTER_FIRST 2u
#define FOLDER_MAX    (1u << 20)

struct volume {
    struct bytes table, data; /* the first allocation table; clusters from number 2 on */
    size_t cluster_size;
    uint32_t clusters; /* numbers go from 2 to clusters + 1 */
    uint32_t root;
};

static int refuse(struct err *err, const char *what)
{
    return err_set(err, ERR_INPUT, 0, "the EFI system partition %s", what);
}

static int open_volume(struct bytes raw, struct volume *v, struct err *err)
{
    if (raw.n < 512 || raw.p[510] != 0x55 || raw.p[511] != 0xAA)
        return refuse(err, "has no FAT file system");
    const uint8_t *b = raw.p;
    size_t sector = (size_t)le_uint(b + 11, 2), per_cluster = b[13], reserved = (size_t)le_uint(b + 14, 2);
    size_t tables = b[16], total = (size_t)le_uint(b + 32, 4), table = (size_t)le_uint(b + 36, 4);
    if ((sector != 512 && sector != 4096) || per_cluster == 0 || (per_cluster & (per_cluster - 1))
        || tables == 0 || le_uint(b + 17, 2) != 0 || le_uint(b + 22, 2) != 0 || table == 0)
        return refuse(err, "is not FAT32");
    if (total > raw.n / sector || reserved > total || table > (total - reserved) / tables)
        return refuse(err, "is larger in its header than on the disk");
    size_t start = reserved + tables * table;
    v->cluster_size = sector * per_cluster;
    v->clusters = (uint32_t)((total - start) / per_cluster);
    v->table = bytes_of(raw.p + reserved * sector, table * sector);
    v->data = bytes_of(raw.p + start * sector, (total - start) * sector);
    v->root = (uint32_t)le_uint(b + 44, 4);
    if (v->table.n / 4 < (size_t)v->clusters + CLUSTER_FIRST)
        return refuse(err, "has a table too short for its clusters");
    return 0;
}

/* Appends up to size bytes of a chain; a chain has at most as many links as there are clusters. */
static int read_chain(const struct volume *v, uint32_t cluster, size_t size, struct buf *out, struct err *err)
{
    for (uint32_t links = 0; size > 0; links++) {
        if (cluster >= CLUSTER_END)
            return 0;
        if (cluster < CLUSTER_FIRST || cluster - CLUSTER_FIRST >= v->clusters || links >= v->clusters)
            return refuse(err, "is damaged: a chain of clusters leads nowhere");
        size_t n = size < v->cluster_size ? size : v->cluster_size;
        buf_put(out, bytes_of(v->data.p + (size_t)(cluster - CLUSTER_FIRST) * v->cluster_size, n));
        if (out->failed)
            return buf_check(out, "the file on the EFI system partition", err);
        size -= n;
        cluster = (uint32_t)le_uint(v->table.p + (size_t)cluster * 4, 4) & CLUSTER_MASK;
    }
    return 0;
}

/* "BOOTX64.EFI" as it stands in a folder: two parts, filled up with spaces. */
static bool short_name(struct bytes name, uint8_t out[static NAME_SIZE])
{
    size_t at = 0, limit = 8;
    memset(out, ' ', NAME_SIZE);
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '.' && limit == 8) {
            at = 8;
            limit = NAME_SIZE;
        } else if (at < limit) {
            out[at++] = name.p[i];
        } else {
            return false;
        }
    }
    return name.n > 0;
}

static int find_entry(struct bytes folder, struct bytes name, bool want_folder, uint32_t *cluster,
                      size_t *size, struct err *err)
{
    uint8_t wanted[NAME_SIZE];
    bool possible = short_name(name, wanted);
    for (size_t i = 0; possible && i + ENTRY_SIZE <= folder.n && folder.p[i] != 0; i += ENTRY_SIZE) {
        const uint8_t *e = folder.p + i;
        if ((e[11] & ATTR_LABEL) || !!(e[11] & ATTR_FOLDER) != want_folder
            || memcmp(e, wanted, NAME_SIZE) != 0)
            continue;
        *cluster = (uint32_t)(le_uint(e + 20, 2) << 16 | le_uint(e + 26, 2));
        *size = (size_t)le_uint(e + 28, 4);
        return 0;
    }
    return err_set(err, ERR_NOT_FOUND, 0, "the EFI system partition has no %.*s",
                   (int)(name.n > 64 ? 64 : name.n), (const char *)name.p);
}

int fat_read_file(struct bytes raw, const char *path, struct buf *out, struct err *err)
{
    struct volume v;
    if (open_volume(raw, &v, err) < 0)
        return -1;
    uint32_t cluster = v.root;
    for (const char *at = path;;) {
        struct buf folder = buf_new(FOLDER_MAX);
        size_t n = strcspn(at, "/"), size = 0;
        bool last = at[n] == '\0';
        int rc = read_chain(&v, cluster, FOLDER_MAX, &folder, err);
        if (rc == 0)
            rc = find_entry(buf_bytes(&folder), bytes_of(at, n), !last, &cluster, &size, err);
        buf_done(&folder);
        if (rc < 0)
            return -1;
        size_t before = out->n;
        if (last && read_chain(&v, cluster, size, out, err) < 0)
            return -1;
        if (last)
            return out->n - before == size ? 0
                                           : refuse(err, "is damaged: a file is shorter than its entry says");
        at += n + 1;
    }
}
