// Validates objects of operators, given as JSON, by the models that are made from their CRDs.
import * as monitoring from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import { readFileSync } from "node:fs";

const models = { ...monitoring, ...keda };
let faults = 0;
const check = (from, object) => {
  const Model = models[object.kind];
  if (!Model) throw new Error(`there is no model of ${object.kind}`);
  new Model(object).validate();
  return Model;
};
for (const { from, object } of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    check(from, object);
  } catch (error) {
    faults += 1;
    console.error(`${from}: ${object.kind} ${object.metadata.name}: ${error.message}`);
  }
  // A model that takes everything would prove nothing.
  let refused = false;
  try {
    check(from, { ...object, spec: "nothing" });
  } catch {
    refused = true;
  }
  if (!refused) {
    faults += 1;
    console.error(`${from}: the model of ${object.kind} refuses nothing`);
  }
}
process.exit(faults === 0 ? 0 : 1);
