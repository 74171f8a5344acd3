// Use the evaluations of the npm SDK: `node evaluation.mjs REPORT PROJECT`.
import {count, countRun, line} from './counting.mjs';
import * as weave from 'weave';

const client = await weave.init(process.argv[3]);
const rows = [0, 1, 2, 3].map(q => ({q, expected: 2 * q}));

/** Count a score of the scorer that is being called. */
function scored(name, value, error) {
  return count(client.getCallStack().stack.at(-2).callId, name, value, error);
}

const exact = weave.op(function exact({modelOutput, datasetRow}) {
  return scored('exact', modelOutput.a === datasetRow.expected);
});

const detail = weave.op(
  async ({modelOutput}) => scored('in detail', {deep: {far: modelOutput.a, none: null}, text: 'ü'}),
  {name: 'in detail'}
);

const breaks = weave.op(function breaks({datasetRow}) {
  if (datasetRow.q !== 1) return scored('breaks', 0.5);
  scored('breaks', null, 'no score');
  throw new Error('no score');
});

const doubler = weave.op(async function doubler({datasetRow}) {
  // The last row waits, so that the service can be interrupted before it.
  if (datasetRow.q === 3) await line();
  return {a: 2 * datasetRow.q};
});

const failsOnce = weave.op(async function failsOnce({datasetRow}) {
  if (datasetRow.q === 2) throw new Error('no output');
  return {a: datasetRow.q};
});

/** Evaluate, and count the run. */
async function evaluate(model, nTrials) {
  const dataset = new weave.Dataset({name: 'rows', rows});
  const evaluation = new weave.Evaluation({name: 'whole', dataset, scorers: [exact, detail, breaks]});
  const [, call] = await evaluation.evaluate.invoke({model, nTrials});
  countRun(call.id, rows.length * nTrials);
}

/** Log an evaluation; names that are none of objects are changed by the SDK. */
async function log() {
  const logger = new weave.EvaluationLogger({name: 'logged', dataset: 'mine', model: {name: 'm'}});
  const predictions = [0, 1].map(q => {
    const prediction = logger.logPrediction({q}, {out: q});
    prediction.logScore('accuracy', q / 2);
    prediction.logScore('f1 score', {value: q, none: null});
    if (q === 0) prediction.finish();
    return prediction;
  });
  await logger.logSummary({mine: 1});
  predictions.forEach(({predMeta}, q) => {
    count(predMeta.predictAndScoreEntry.callId, 'accuracy', q / 2);
    count(predMeta.predictAndScoreEntry.callId, 'f1-score', {value: q, none: null});
  });
  countRun(logger.evaluateEntry.callId, 2);
}

await evaluate(doubler, 1);
await evaluate(failsOnce, 2);
await log();
process.stdin.destroy();
