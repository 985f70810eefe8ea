// What is shown where there is no flow yet: a call with curl, and an example flow, made by the calls that a client makes.
import { NoAnswer } from "/__emulator/page/tools.js";

const BASE = "/data/foundation/flowservice";
const ORG = "EXAMPLE@AdobeOrg";
// The ids are Adobe's own: the data lake, and Amazon S3 with its flow spec.
const LAKE = { id: "23598e46-f560-407b-88d5-ea6207e49db0", version: "1.0" };
const S3 = { id: "4fce964d-3f37-408f-9778-e597338a21ee", version: "1.0" };
const S3_FLOW = { id: "269ba276-16fc-47db-92b0-c1049a3c131f", version: "1.0" };
const KEYS = { s3AccessKey: "AKIAIOSFODNN7EXAMPLE", s3SecretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };

export const curl = `curl ${location.origin}${BASE}/flows \\
  -H 'Authorization: Bearer any' -H 'x-api-key: any' \\
  -H 'x-gw-ims-org-id: ${ORG}' -H 'x-sandbox-name: prod'`;

async function asked(method, path, headers, body) {
  const answer = await fetch(path, { method, headers, body }).catch(() => {
    throw new NoAnswer();
  });
  const value = await answer.json();
  if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${value.errorMessage ?? value.message ?? JSON.stringify(value)}`);
  return value;
}

// Creates what a flow needs, and the flow, which exports every three hours from the present (epoch seconds) on.
export async function createExample(now) {
  const token = await asked("POST", "/ims/token/v3", {}, new URLSearchParams({ grant_type: "client_credentials", client_id: "dashboard", client_secret: "any", scope: "openid" }));
  const headers = { Authorization: `Bearer ${token.access_token}`, "x-api-key": "dashboard", "x-gw-ims-org-id": ORG, "x-sandbox-name": "prod", "Content-Type": "application/json" };
  const create = async (collection, body) => (await asked("POST", `${BASE}/${collection}`, headers, JSON.stringify(body))).id;
  const configs = `${BASE}/connectionSpecs/${LAKE.id}/configs?outputType=activationDatasets&outputField=datasets&limit=1`;
  const dataset = (await asked("GET", configs, headers)).items[0];
  const source = await create("sourceConnections", { name: "Example source", connectionSpec: LAKE, params: { datasets: [{ dataSetId: dataset.id, name: dataset.name }] } });
  const base = await create("connections", { name: "Example bucket", connectionSpec: S3, auth: { specName: "Access Key", params: KEYS } });
  const params = { mode: "Server-to-server", bucketName: "example-bucket", path: "example", compression: "NONE", datasetFileType: "JSON" };
  const target = await create("targetConnections", { name: "Example target", connectionSpec: S3, baseConnectionId: base, params });
  return create("flows", {
    name: "Example: a dataset to Amazon S3", flowSpec: S3_FLOW, sourceConnectionIds: [source], targetConnectionIds: [target], transformations: [],
    scheduleParams: { interval: 3, timeUnit: "hour", startTime: Math.floor(now) },
  });
}
