/** cli/image_papers.h: what lies beside a disk image (BASE.json, .spdx.json, .provenance.json,
 * .intoto.jsonl), held against the disk. */
#ifndef CVM_CLI_IMAGE_PAPERS_H
#define CVM_CLI_IMAGE_PAPERS_H

#include "base/json.h"
#include "image/disk.h"

/** Checks as they were done. */
struct image_checks {
    json_t *list; /* [{"check","ok","detail"}]; owned */
    bool bad;     /* one is false */
};

/** Adds a check. @param ok  1 good, 0 bad, -1 not judged */
__attribute__((format(printf, 4, 5))) void image_check(struct image_checks *checks, const char *name, int ok,
                                                       const char *fmt, ...);

struct paper {
    uint8_t *text; /* NULL: not there */
    size_t n;
    json_t *json; /* NULL for the signature, which is lines of JSON */
};

struct papers {
    struct paper image, sbom, provenance, signature;
    struct buf statement; /* what the signature is over, once verified */
    json_t *signed_;      /* the same, parsed */
};

/** Reads those that are there. @param out  end it with papers_done(), also after a failure
 *  @return 0, or STATUS_INPUT with the message printed */
int papers_read(const char *disk, struct papers *out);

/** For AUTO(papers_done). */
void papers_done(struct papers *p);

struct papers_options {
    const char
        *key; /* the publisher's public key: then all papers must be there and signed; NULL: not given */
    bool other_data; /* the data partition may be another one */
};

/** Verifies the signature if a key is given. @return 0, or the exit status with the message printed */
int papers_check_signature(struct image_checks *checks, struct papers *p,
                           const struct papers_options *options);

/** Holds the papers against the disk and against each other. @param root  the disk's root hash
 *  @return 0, or the exit status with the message printed */
int papers_check(struct image_checks *checks, const struct papers *p, const struct disk *d,
                 const uint8_t root[static 32], const struct papers_options *options);

#endif
