// SPDX-License-Identifier: MIT OR GPL-2.0
/* A livepatch whose effect can be seen: /proc/cmdline says CVM_TEXT. For tests; no part of the product. */
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

static int patched_show(struct seq_file *m, void *v)
{
    seq_puts(m, CVM_TEXT "\n");
    return 0;
}

static struct klp_func funcs[] = { { .old_name = "cmdline_proc_show", .new_func = patched_show }, {} };
static struct klp_object objects[] = { { .funcs = funcs }, {} };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init start(void)
{
    return klp_enable_patch(&patch);
}

static void __exit stop(void) {}

module_init(start);
module_exit(stop);
MODULE_DESCRIPTION("Shows that livepatches take effect");
MODULE_LICENSE("Dual MIT/GPL");
MODULE_INFO(livepatch, "Y");
