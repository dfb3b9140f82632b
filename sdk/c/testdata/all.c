/* Uses every import and every convenience, so that each is compiled and linked. */
#include "../edge.h"

EDGED_EXPORT(all)
{
	struct edge_scan scan;
	struct edge_batch batch;
	void *value = NULL;
	size_t len = 0;
	char *body = (char *)edge_input(&len), *name = edge_query("name"), *header = edge_header("Accept");
	char *id = edge_param("id"), *path = edge_path(), *method = edge_method();
	char *setting = edge_config("setting"), *secret = edge_secret("secret");

	edge_set_status(200);
	edge_set_header("X-A", "1");
	edge_logf(EDGE_INFO, "%s %s", method, path);
	edge_kv_set("k", body, len);
	edge_kv_cas("k", NULL, 0, body, len);
	if (edge_kv_get("k", &value, &len) == EDGE_OK)
		edge_write(value, len);
	edge_scan_start(&scan, "");
	while (edge_scan_next(&scan) > 0)
		edge_write(scan.key, scan.key_len);
	edge_scan_end(&scan);
	edge_batch_start(&batch);
	edge_batch_get(&batch, "a");
	edge_batch_set(&batch, "a", "1", 1);
	edge_batch_cas(&batch, "a", "1", 1, "2", 1);
	edge_batch_delete(&batch, "a");
	if (edge_batch_run(&batch) < 0)
		return edge_fail("batch: %s", edge_strerror(batch.error));
	while (edge_batch_next(&batch) > 0)
		edge_write(batch.value, batch.value_len);
	edge_batch_end(&batch);
	edge_kv_unlock("l", edge_kv_lock("l", 1000));
	edge_kv_delete("k");
	if (edge_call("other", "x", 1, &value, &len) != EDGE_OK)
		edge_puts(edge_call_error());
	int64_t objects[2] = {edge_start("other", NULL, 0), edged_rput("data", 4)};
	if (edge_wait_all(objects, 2, 1000) == EDGE_TIMEOUT)
		edged_rcancel(objects[0]);
	if (edge_get(objects[1], -1, &value, NULL) == EDGE_OK && edged_rlen(objects[1]) == 4)
		edged_rdrop(objects[1]);
	edge_get(edge_send(edge_actor("class", "key"), NULL, "x", 1), -1, &value, &len);
	edge_puts("done");
	edge_printf("%s %s %s", name, header, id);
	free(setting);
	free(secret);
	return 0;
}
