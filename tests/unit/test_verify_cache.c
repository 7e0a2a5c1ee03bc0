/* evidence/verify_cache.h: bounded, least recently used first out, never under a holder; from several
 * threads. */
#include "evidence.h"

#include "base/auto.h"
#include "evidence/verify_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_int alive;

static int *thing_new(uint8_t name)
{
    int *p = malloc(sizeof(*p));
    *p = name;
    alive++;
    return p;
}

static void thing_free(void *p)
{
    alive--;
    free(p);
}

static void key_of(uint8_t name, uint8_t key[static 32])
{
    memset(key, name, 32);
}

static void add(struct verify_cache *c, uint8_t name, struct verify_held *out)
{
    uint8_t key[32];
    key_of(name, key);
    verify_cache_add(c, key, thing_new(name), thing_free, out);
    assert_int_equal(*(int *)out->object, name);
}

static bool has(struct verify_cache *c, uint8_t name)
{
    uint8_t key[32];
    AUTO(verify_held_done) struct verify_held held = { NULL, NULL, NULL, NULL };
    key_of(name, key);
    return verify_cache_get(c, key, &held);
}

static void oldest_goes_first(void **state)
{
    (void)state;
    struct verify_cache *c;
    struct verify_held h;
    assert_int_equal(verify_cache_new(2, &c, &(struct err){ 0 }), 0);
    add(c, 1, &h);
    verify_held_done(&h);
    add(c, 2, &h);
    verify_held_done(&h);
    assert_true(has(c, 1)); /* 2 is the older one now */
    add(c, 3, &h);
    verify_held_done(&h);
    assert_true(has(c, 1) && has(c, 3));
    assert_false(has(c, 2));
    assert_int_equal(alive, 2);
    verify_cache_free(c);
    assert_int_equal(alive, 0);
}

static void held_objects_stay(void **state)
{
    (void)state;
    struct verify_cache *c;
    struct verify_held a, b, over;
    assert_int_equal(verify_cache_new(2, &c, &(struct err){ 0 }), 0);
    add(c, 1, &a);
    add(c, 2, &b);
    add(c, 3, &over); /* no place: the holder owns it */
    assert_null(over.cache);
    verify_held_done(&over);
    assert_int_equal(alive, 2);
    add(c, 1, &over); /* somebody else was faster: theirs is held */
    assert_ptr_equal(over.object, a.object);
    assert_int_equal(alive, 2);
    verify_held_done(&over);
    verify_held_done(&a);
    verify_held_done(&b);
    verify_cache_free(c);
    assert_int_equal(alive, 0);
}

static void works_without_a_cache(void **state)
{
    (void)state;
    struct verify_held h;
    assert_false(has(NULL, 1));
    add(NULL, 1, &h);
    verify_held_done(&h);
    assert_int_equal(alive, 0);
}

static void *hammer(void *arg)
{
    struct verify_cache *c = arg;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t key[32], name = (uint8_t)(i * 7 % 13);
        struct verify_held h;
        key_of(name, key);
        if (!verify_cache_get(c, key, &h))
            verify_cache_add(c, key, thing_new(name), thing_free, &h);
        if (*(int *)h.object != name)
            abort();
        verify_held_done(&h);
    }
    return NULL;
}

static void serves_threads(void **state)
{
    (void)state;
    struct verify_cache *c;
    pthread_t threads[4];
    assert_int_equal(verify_cache_new(5, &c, &(struct err){ 0 }), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, c), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        pthread_join(threads[i], NULL);
    verify_cache_free(c);
    assert_int_equal(alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oldest_goes_first),
        cmocka_unit_test(held_objects_stay),
        cmocka_unit_test(works_without_a_cache),
        cmocka_unit_test(serves_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
