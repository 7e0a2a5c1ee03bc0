# Unit tests, one line each.
cvm_test(test_base SOURCES unit/test_base.c DEPENDS base LABELS unit)
