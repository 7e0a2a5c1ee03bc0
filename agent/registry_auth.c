#include "agent/registry_auth.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#define LOGINS_MAX 256
#define LOGIN_MAX  4096

struct login {
    char *host; /* NULL: every registry */
    char *username, *password;
};

struct registry_auth {
    struct login login[LOGINS_MAX];
    size_t n;
};

static void wipe(char *text)
{
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}

void registry_auth_free(struct registry_auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++) {
        free(a->login[i].host);
        wipe(a->login[i].username);
        wipe(a->login[i].password);
    }
    free(a);
}

static int add(struct registry_auth *a, const char *host, struct bytes user, struct bytes password,
               struct err *err)
{
    if (a->n == LOGINS_MAX)
        return err_set(err, ERR_INPUT, 0, "more than %d registries", LOGINS_MAX);
    struct login *l = &a->login[a->n++];
    l->host = host ? strdup(host) : NULL;
    l->username = strndup((const char *)user.p, user.n);
    l->password = strndup((const char *)password.p, password.n);
    return l->username && l->password && (!host || l->host)
               ? 0
               : err_set(err, ERR_IO, ENOMEM, "no memory for credentials");
}

/* "user:password" in base64. */
static int add_encoded(struct registry_auth *a, const char *host, const json_t *entry, struct err *err)
{
    AUTO(buf_wipe) struct buf text = buf_new(LOGIN_MAX);
    const char *encoded = json_string_value(json_object_get(entry, "auth"));
    struct err why = { 0 };
    if (!encoded)
        return 0; /* a helper program has it: not here */
    if (b64_decode(bytes_str(encoded), &text, &why) < 0 || buf_check(&text, "auth", &why) < 0)
        return err_set(err, ERR_INPUT, 0, "auths.%.100s.auth is not base64", host);
    const uint8_t *colon = memchr(text.p, ':', text.n);
    if (!text.n || !colon || memchr(text.p, 0, text.n))
        return err_set(err, ERR_INPUT, 0, "auths.%.100s.auth is not \"user:password\"", host);
    size_t n = (size_t)(colon - text.p);
    return add(a, host, bytes_of(text.p, n), bytes_of(colon + 1, text.n - n - 1), err);
}

static int read_file(struct registry_auth *a, const json_t *root, struct err *err)
{
    const char *user = json_string_value(json_object_get(root, "user_name"));
    const char *password = json_string_value(json_object_get(root, "password"));
    const char *host;
    json_t *entry;
    if (user && password)
        return add(a, NULL, bytes_str(user), bytes_str(password), err);
    json_t *auths = json_object_get(root, "auths");
    if (!json_is_object(auths))
        return err_set(err, ERR_INPUT, 0, "want {\"auths\":{...}}, as podman login writes");
    json_object_foreach(auths, host, entry)
    {
        if (add_encoded(a, host, entry, err) < 0)
            return -1;
    }
    return 0;
}

int registry_auth_new(struct bytes file, const char *user, const char *password, struct registry_auth **out,
                      struct err *err)
{
    AUTO(registry_auth_drop) struct registry_auth *a = calloc(1, sizeof(*a));
    AUTO(json_drop) json_t *root = NULL;
    if (!a)
        return err_set(err, ERR_IO, ENOMEM, "no memory for credentials");
    if (file.n && (json_parse(file, REGISTRY_AUTH_MAX, &root, err) < 0 || read_file(a, root, err) < 0))
        return err_while(err, "registry credentials");
    if (user && password && add(a, NULL, bytes_str(user), bytes_str(password), err) < 0)
        return -1;
    *out = MOVE(a);
    return 0;
}

/* Docker wrote URLs once: "https://index.docker.io/v1/". */
static bool is_host(const char *key, const char *host)
{
    const char *at = strstr(key, "://");
    at = at ? at + 3 : key;
    size_t n = strcspn(at, "/");
    bool hub =
        !strcmp(host, "docker.io") && n == strlen("index.docker.io") && !strncmp(at, "index.docker.io", n);
    return hub || (n == strlen(host) && !strncmp(at, host, n));
}

bool registry_auth_find(void *ctx, const char *host, struct engine_auth *out)
{
    const struct registry_auth *a = ctx;
    const struct login *found = NULL;
    for (size_t i = 0; i < a->n; i++) {
        const struct login *l = &a->login[i];
        if (l->host ? is_host(l->host, host) : !found)
            found = found && found->host ? found : l;
    }
    if (found)
        *out = (struct engine_auth){ found->username, found->password };
    return found != NULL;
}
