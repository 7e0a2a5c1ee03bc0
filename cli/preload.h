/** cli/preload.h: what `cvm-cli collateral preload` shall fetch: the items of products and platforms, and the
 * certificates for given pieces of evidence. */
#ifndef CVM_CLI_PRELOAD_H
#define CVM_CLI_PRELOAD_H

#include "tee/collateral.h"

#define PRELOAD_MAX      96
#define PRELOAD_FILE_MAX (32u << 20) /* a document given with --report */

enum preload_kind { PRELOAD_ITEM, PRELOAD_VEK, PRELOAD_AK };

struct preload_wish {
    enum preload_kind kind;
    struct collateral_id id; /* PRELOAD_ITEM */
    struct buf evidence;     /* the report, or the AK certificate */
    const char *path;        /* where that is from; borrowed */
    bool missing;            /* not in the folder in the end */
};

struct preload {
    struct preload_wish wish[PRELOAD_MAX];
    size_t n;
};

/** For AUTO(preload_drop) struct preload *p = calloc(1, sizeof(*p)). */
void preload_drop(struct preload **p);

/** Adds an item unless it is there already. @return 0, or -1 with ERR_TOO_LARGE */
MUST_USE int preload_add(struct preload *p, const struct collateral_id *id, struct err *err);

/** Adds what a product of AMD needs whoever uses it: chains and CRLs. */
MUST_USE int preload_add_product(struct preload *p, enum snp_product product, struct err *err);

/** Adds what every TDX platform needs. */
MUST_USE int preload_add_intel(struct preload *p, struct err *err);

/** Adds what the evidence in a file needs: an SNP report, a TDX quote, an Azure HCL report, a collaterals
 * document, a PCK certificate (chain), or an AK certificate.
 *  @return 0, or the exit status with the message printed */
int preload_add_file(struct preload *p, const char *path);

/** The wish's name for people. Returns out. */
char *preload_name(const struct preload_wish *wish, char *out, size_t size);

#endif
