/* topics_test.c: the table of topics: entries come and go with those who refer to them.
 * SPDX-License-Identifier: MIT */
#include "leaf_rig.h"

#include "topics.h"

#include <stdio.h>

static chaski__topics topics;

static int setup(void **state) {
  topics = (chaski__topics){0};
  return leaf_setup(state);
}

static int no_topic_is_left(void **state) {
  return topics.table ? -1 : no_block_is_left(state);
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, no_topic_is_left)

/* Edges are only ever compared here. */
static char places[2000];

static chaski_edge *edge(size_t n) {
  return (chaski_edge *)(void *)&places[n];
}

static chaski__topic *find(const char *name) {
  return chaski__topic_find(&topics, chaski_slice_str(name));
}

static chaski__topic *intern(const char *name) {
  chaski__topic *t = chaski__topic_intern(&topics, chaski_slice_str(name));
  assert_non_null(t);
  return t;
}

static void drop(chaski__topic *t) {
  chaski__topic_drop(&topics, t);
}

static bool has(const chaski__topic *t, const chaski_edge *e) {
  size_t n = 0;
  for (uint32_t i = 0; i < t->edge_count; i++) n += t->edges[i] == e;
  assert_true(n <= 1);
  return n == 1;
}

static void a_topic_is_made_once_and_found_by_name(void **state) {
  (void)state;
  assert_null(find("t"));
  chaski__topic *t = intern("t");
  assert_ptr_equal(intern("t"), t);
  assert_ptr_equal(find("t"), t);
  assert_null(find("tt"));
  assert_null(find(""));
  assert_string_equal(t->name, "t");
  assert_int_equal(t->len, 1);
  drop(t);
  assert_null(find("t"));
}

static void a_name_is_copied_and_may_be_any_bytes(void **state) {
  (void)state;
  char name[] = {'a', '\0', 'b'};
  chaski__topic *t = chaski__topic_intern(&topics, chaski_slice_of(name, 3)), *a = intern("a"), *empty = intern("");
  assert_non_null(t);
  assert_true(t != a && a != empty);
  name[0] = 'x';
  assert_memory_equal(t->name, "a\0b", 4); /* and ends in NUL */
  assert_ptr_equal(chaski__topic_find(&topics, SLICE("a\0b")), t);
  assert_null(chaski__topic_find(&topics, chaski_slice_of(name, 3)));
  assert_ptr_equal(find(""), empty);
  drop(t);
  drop(a);
  drop(empty);
}

static void a_slice_of_nothing_is_the_empty_name(void **state) {
  (void)state;
  chaski_slice none = {NULL, 0};
  assert_null(chaski__topic_find(&topics, none));
  chaski__topic *t = chaski__topic_intern(&topics, none);
  assert_non_null(t);
  assert_ptr_equal(chaski__topic_intern(&topics, none), t);
  assert_ptr_equal(find(""), t);
  drop(t);
}

static void a_topic_stays_while_anyone_refers_to_it(void **state) {
  (void)state;
  chaski_subscription s = {0};
  chaski__topic *t = intern("t");
  DL_APPEND(t->subs, &s);
  assert_true(chaski__topic_add_edge(t, edge(1)));
  t->busy = 1;
  drop(t);
  DL_DELETE(t->subs, &s);
  drop(t);
  chaski__topic_remove_edge(t, edge(1));
  drop(t);
  assert_ptr_equal(find("t"), t);
  t->busy = 0;
  drop(t);
  assert_null(find("t"));
}

static void whatever_makes_a_remembered_entry_wrong_changes_the_generation(void **state) {
  (void)state;
  uint64_t before = topics.generation;
  chaski__topic *t = intern("t");
  assert_int_not_equal(topics.generation, before); /* an "unknown" may have been remembered */
  before = topics.generation;
  intern("t");
  assert_true(chaski__topic_add_edge(t, edge(1)));
  drop(t); /* still referred to */
  find("t");
  chaski__topic_remove_edge(t, edge(1));
  assert_int_equal(topics.generation, before);
  drop(t);
  assert_int_not_equal(topics.generation, before);
}

static void edges_are_added_and_removed_in_any_order(void **state) {
  (void)state;
  chaski__topic *t = intern("t");
  bool in[2000] = {false};
  uint32_t count = 0;
  for (int round = 0; round < 20000; round++) {
    size_t n = draw(round < 15000 ? 2000 : 100);
    if (in[n]) {
      chaski__topic_remove_edge(t, edge(n));
      count--;
    } else {
      assert_true(chaski__topic_add_edge(t, edge(n)));
      count++;
    }
    in[n] = !in[n];
    assert_int_equal(t->edge_count, count);
    if (round % 100 == 0)
      for (size_t i = 0; i < 2000; i++) assert_int_equal(has(t, edge(i)), in[i]);
  }
  for (size_t i = 0; i < 2000; i++) chaski__topic_remove_edge(t, edge(i)); /* some are not there */
  assert_int_equal(t->edge_count, 0);
  drop(t);
}

static void many_topics_are_told_apart(void **state) {
  (void)state;
  enum { MANY = 5000 };
  static chaski__topic *made[MANY];
  char name[32];
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "topic/%d", i);
    made[i] = intern(name);
  }
  for (int i = 0; i < MANY; i += 2) drop(made[i]);
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "topic/%d", i);
    assert_ptr_equal(find(name), i % 2 ? made[i] : NULL);
  }
  for (int i = 1; i < MANY; i += 2) drop(made[i]);
}

static void an_edge_that_finds_no_memory_is_not_added(void **state) {
  (void)state;
  chaski__topic *t = intern("t");
  for (size_t i = 0; i < 2; i++) assert_true(chaski__topic_add_edge(t, edge(i)));
  allow_allocations(0);
  assert_false(chaski__topic_add_edge(t, edge(2)));
  allow_all_allocations();
  assert_int_equal(t->edge_count, 2);
  assert_true(has(t, edge(0)) && has(t, edge(1)));
  for (size_t i = 0; i < 2; i++) chaski__topic_remove_edge(t, edge(i));
  drop(t);
}

/* Try to make `name` with 0, 1, 2, … allocations until it works. */
static chaski__topic *intern_scarce(const char *name, size_t *failures) {
  for (size_t n = 0;; n++) {
    size_t blocks = chaski_alloc_blocks();
    uint64_t generation = topics.generation;
    allow_allocations(n);
    chaski__topic *t = chaski__topic_intern(&topics, chaski_slice_str(name));
    allow_all_allocations();
    if (t) return t;
    (*failures)++;
    assert_null(find(name));
    assert_int_equal(chaski_alloc_blocks(), blocks);
    assert_int_equal(topics.generation, generation);
  }
}

static void a_topic_that_finds_no_memory_leaves_nothing_behind(void **state) {
  (void)state;
  enum { MANY = 600 }; /* the table grows some times */
  static chaski__topic *made[MANY];
  char name[32];
  size_t failures = 0;
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "topic/%d", i);
    made[i] = intern_scarce(name, &failures);
  }
  assert_true(failures > MANY);
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "topic/%d", i);
    assert_ptr_equal(find(name), made[i]);
  }
  for (int i = 0; i < MANY; i++) drop(made[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_topic_is_made_once_and_found_by_name),
      TEST(a_name_is_copied_and_may_be_any_bytes),
      TEST(a_slice_of_nothing_is_the_empty_name),
      TEST(a_topic_stays_while_anyone_refers_to_it),
      TEST(whatever_makes_a_remembered_entry_wrong_changes_the_generation),
      TEST(edges_are_added_and_removed_in_any_order),
      TEST(many_topics_are_told_apart),
      TEST(an_edge_that_finds_no_memory_is_not_added),
      TEST(a_topic_that_finds_no_memory_leaves_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
