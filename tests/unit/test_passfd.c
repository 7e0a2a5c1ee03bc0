/* Datagrams with descriptors: what comes over is the same file, what should not come is closed. */
#include "base/auto.h"
#include "base/passfd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 12

struct pair {
    int here, there;
};

static int set_up(void **state)
{
    static struct pair p;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return -1;
    p = (struct pair){ fds[0], fds[1] };
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;
    close_fd(&p->here);
    close_fd(&p->there);
    return 0;
}

static size_t open_descriptors(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void send_descriptors(int to, size_t n)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(MANY * sizeof(int))];
    } control = { .room = { 0 } };
    char one = 0;
    struct iovec part = { &one, 1 };
    struct msghdr m = { .msg_iov = &part,
                        .msg_iovlen = 1,
                        .msg_control = control.room,
                        .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
    int all[MANY];
    for (size_t i = 0; i < n; i++)
        all[i] = STDIN_FILENO;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(c), all, n * sizeof(int));
    assert_int_equal(sendmsg(to, &m, MSG_NOSIGNAL), 1);
}

static void test_a_descriptor_comes_along(void **state)
{
    const struct pair *p = *state;
    char room[8];
    int fd;
    struct stat sent, came;
    AUTO(close_fd) int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(passfd_send(p->here, bytes_str("four"), file), 0);
    assert_int_equal(passfd_receive(p->there, room, sizeof(room), &fd, NULL), 4);
    assert_memory_equal(room, "four", 4);
    assert_true(fd >= 0 && fd != file);
    assert_true(fstat(file, &sent) == 0 && fstat(fd, &came) == 0 && sent.st_ino == came.st_ino);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close_fd(&fd);
    assert_int_equal(passfd_send(p->here, bytes_str("none"), -1), 0);
    assert_int_equal(passfd_receive(p->there, room, sizeof(room), &fd, NULL), 4);
    assert_int_equal(fd, -1);
}

static void test_more_than_one_is_not_taken(void **state)
{
    const struct pair *p = *state;
    const int on = 1;
    char room[8];
    int fd;
    struct ucred peer;
    size_t before = open_descriptors();
    assert_int_equal(setsockopt(p->there, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    for (size_t n = 2; n <= MANY; n++) {
        send_descriptors(p->here, n);
        ssize_t rc = passfd_receive(p->there, room, sizeof(room), &fd, &peer);
        assert_true(rc == 1 || (rc == -1 && errno == EBADMSG));
        assert_int_equal(fd, -1);
        assert_int_equal(open_descriptors(), before);
    }
}

static void test_who_sent_it(void **state)
{
    const struct pair *p = *state;
    const int on = 1;
    char room[8];
    int fd;
    struct ucred peer = { 0 };
    assert_int_equal(passfd_send(p->here, bytes_str("nobody"), -1), 0);
    assert_int_equal(passfd_receive(p->there, room, sizeof(room), &fd, &peer), -1);
    assert_int_equal(errno, EBADMSG);
    assert_int_equal(setsockopt(p->there, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    assert_int_equal(passfd_send(p->here, bytes_str("us"), -1), 0);
    assert_int_equal(passfd_receive(p->there, room, sizeof(room), &fd, &peer), 2);
    assert_true(peer.uid == getuid() && peer.pid == getpid());
}

static void test_too_long_and_closed(void **state)
{
    struct pair *p = *state;
    char room[4];
    int fd;
    assert_int_equal(passfd_send(p->here, bytes_str("ten bytes!"), -1), 0);
    assert_int_equal(passfd_receive(p->there, room, sizeof(room), &fd, NULL), 10);
    close_fd(&p->here);
    p->here = -1;
    assert_int_equal(passfd_receive(p->there, room, sizeof(room), &fd, NULL), 0);
    assert_int_equal(passfd_send(p->there, bytes_str("x"), -1), -1);
    assert_int_equal(errno, EPIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_descriptor_comes_along, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_more_than_one_is_not_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_sent_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_long_and_closed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
