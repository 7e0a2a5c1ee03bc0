/** agent/update_store.h: the directories of an update: the private copies and the tree on the data partition,
 * changed by renames only, so that each is the old one or the new one at every moment. */
#ifndef CVM_AGENT_UPDATE_STORE_H
#define CVM_AGENT_UPDATE_STORE_H

#include "agent/workload.h"

#include <limits.h>

struct update_places {
    char current[PATH_MAX], next[PATH_MAX]; /* private copies */
    char data[PATH_MAX], staged[PATH_MAX];  /* on the data partition: workload, .workload.next */
    char parent[PATH_MAX];                  /* of data */
    char note[PATH_MAX];                    /* STATE/update.json */
};

MUST_USE int update_places(const struct workload *w, const char *state, struct update_places *out,
                           struct err *err);

/** SHA-384 over the paths and digests of a tree: which one it is. */
void update_fingerprint(const struct workload_tree *t, uint8_t out[static 48]);

/** Whether the tree in a folder is the one with that fingerprint: it is read and hashed. */
bool update_is_tree(const char *path, const uint8_t fingerprint[static 48]);

/** Copies a file of one tree into another folder, unless it is there.
 *  @return 0 (also when the tree has no such file), or -1 with ERR_IO */
MUST_USE int update_carry(const struct workload_tree *from, const char *path, const char *into,
                          struct err *err);

/** Exchanges two directories by one rename and syncs the folder above b. On failure nothing has changed. */
MUST_USE int update_exchange(const char *a, const char *b, struct err *err);

/** How far an update has come, for a start after a kill. */
enum update_phase {
    UPDATE_NONE,
    UPDATE_STAGED, /* from here on it is stored and measured; the old one counts */
    UPDATE_HEALTHY /* the new one runs and counts */
};

struct update_note {
    enum update_phase phase;
    char boot_id[64];
    uint8_t next[48]; /* fingerprint */
    uint64_t version; /* the owner's; 0: none */
    size_t events;    /* of the workload log before the update began */
};

MUST_USE int update_note_write(const struct update_places *p, const struct update_note *note,
                               struct err *err);
/** phase UPDATE_NONE when there is no note, or none that can be read. */
void update_note_read(const struct update_places *p, struct update_note *out);
void update_note_remove(const struct update_places *p);

/** Puts "next", the copy that ran before, aside: containers that were left alone may still see it. Its image
 * archives are removed. With all: removes it and every one put aside before. */
void update_retire(const struct workload *w, const struct update_places *p, bool all);

#endif
