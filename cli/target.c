#include "cli/target.h"

#include "base/auto.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PORT_INTERNAL "7999"
#define PORT_EXTERNAL "8000"

static bool plain(const char *text)
{
    for (; *text; text++)
        if (!isgraph((unsigned char)*text) || strchr("\"<>\\^`{|}?#@", *text))
            return false;
    return true;
}

static bool is_loopback(const char *host)
{
    static const char *const names[] = { "127.0.0.1", "localhost", "::1", "[::1]" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcasecmp(host, names[i]) == 0)
            return true;
    return false;
}

/* Splits host and port; an IPv6 address has colons of its own and a port only after brackets. */
static void split(char *text, const char **host, const char **port)
{
    char *bracket = strchr(text, ']'), *colon = strrchr(text, ':');
    *host = text;
    *port = NULL;
    if (bracket ? colon != bracket + 1 : !colon || strchr(text, ':') != colon)
        return;
    *colon = '\0';
    *port = colon + 1;
}

static const char no_place[] = "not a host, a host:port, a URL or unix:/path";

static bool port_ok(const char *port)
{
    size_t n = strlen(port);
    return n >= 1 && n <= 5 && strspn(port, "0123456789") == n && atoi(port) >= 1 && atoi(port) <= 65535;
}

/* Brackets close, and only around an address of IPv6. */
static bool host_ok(const char *host)
{
    const char *open = strchr(host, '['), *close = strchr(host, ']');
    size_t n = strlen(host);
    if (!open && !close)
        return n > 0;
    return open == host && close == host + n - 1 && n > 2 && strchr(host, ':')
           && strspn(host + 1, "0123456789abcdefABCDEF:.%") >= strcspn(host + 1, "%]");
}

/* Host and port of a URL; what a server makes of the path is the server's. */
static bool authority_ok(const char *url)
{
    char copy[TARGET_MAX];
    const char *host, *port, *from = strstr(url, "://") + 3;
    snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(from, "/"), from);
    split(copy, &host, &port);
    bool colons = host[0] != '[' && strchr(host, ':'); /* 2001:db8::7 without brackets */
    return host_ok(host) && !colons && (!port || port_ok(port));
}

static int parse_bare(const char *text, bool https, struct target *out, struct err *err)
{
    char copy[TARGET_MAX];
    const char *host, *port;
    snprintf(copy, sizeof(copy), "%s", text);
    split(copy, &host, &port);
    bool loopback = is_loopback(host), raw6 = strchr(host, ':') && host[0] != '[';
    if (!host_ok(host) || strchr(host, '/') || (port && !port_ok(port)))
        return err_set(err, ERR_INPUT, 0, "%s", no_place);
    out->loopback = loopback;
    out->tls = https || !loopback || (port && strcmp(port, PORT_EXTERNAL) == 0);
    if (!port)
        port = out->tls ? PORT_EXTERNAL : PORT_INTERNAL;
    int n = snprintf(out->base, sizeof(out->base), "%s://%s%s%s:%s", out->tls ? "https" : "http",
                     raw6 ? "[" : "", host, raw6 ? "]" : "", port);
    return n > 0 && (size_t)n < sizeof(out->base) ? 0 : err_set(err, ERR_INPUT, 0, "too long");
}

int target_parse(const char *text, bool https, struct target *out, struct err *err)
{
    struct target t = { 0 };
    if (strlen(text) >= TARGET_MAX - 16 || !plain(text))
        return err_set(err, ERR_INPUT, 0, "%s", no_place);
    if (strncmp(text, "unix:/", 6) == 0) {
        snprintf(t.base, sizeof(t.base), "http://localhost");
        snprintf(t.socket, sizeof(t.socket), "%s", text + 5);
        t.loopback = true;
    } else if (strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0) {
        if (!authority_ok(text))
            return err_set(err, ERR_INPUT, 0,
                           "not a URL: want a host, or [IPv6], and a port from 1 to 65535");
        t.tls = strncasecmp(text, "https", 5) == 0;
        snprintf(t.base, sizeof(t.base), "%s", text);
        for (size_t n = strlen(t.base); n && t.base[n - 1] == '/'; n--)
            t.base[n - 1] = '\0';
    } else if (strstr(text, "://")) {
        return err_set(err, ERR_INPUT, 0, "only http://, https:// and unix:/path are known");
    } else if (parse_bare(text, https, &t, err) < 0) {
        return -1;
    }
    *out = t;
    return 0;
}
