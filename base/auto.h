/** base/auto.h: every exit path releases; MOVE() hands ownership out. */
#ifndef CVM_BASE_AUTO_H
#define CVM_BASE_AUTO_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** AUTO(free_u8) uint8_t *p = NULL;  runs free_u8(&p) when p goes out of scope. */
#define AUTO(release) __attribute__((cleanup(release)))

/** Takes the value out of an AUTO pointer, so that its cleanup has nothing left to do. */
#define MOVE(v)                                                                                              \
    __extension__({                                                                                          \
        __typeof__(v) moved_ = (v);                                                                          \
        (v) = NULL;                                                                                          \
        moved_;                                                                                              \
    })

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void free_u8(uint8_t **p)
{
    free(*p);
}

static inline void free_str(char **p)
{
    free(*p);
}

/** File descriptors start at -1. */
static inline void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void close_file(FILE **f)
{
    if (*f)
        fclose(*f);
}

#endif
