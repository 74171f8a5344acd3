// Count what a program scores and which hosts it wants to reach, and write it when it ends.
import fs from 'node:fs';
import net from 'node:net';
import readline from 'node:readline';

const report = {scores: [], runs: {}, tried: []};
process.on('exit', () => fs.writeFileSync(process.argv[2], JSON.stringify(report)));

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  const {host} = [given[0]].flat()[0];
  if (host !== '127.0.0.1') {
    report.tried.push(String(host));
    throw new Error(`a connection to ${host}`);
  }
  return connect.apply(this, given);
};

/** Count an evaluation run and its predictions. */
export function countRun(id, predictions) {
  report.runs[id] = predictions;
}

/** Count a score of the prediction with a call of predictAndScore, and return its value. */
export function count(call, scorer, value, error = '') {
  report.scores.push({call, scorer, value, error, annotator: ''});
  return value;
}

const arrived = new Promise(resolve => {
  readline.createInterface({input: process.stdin}).once('line', resolve);
});

/** Wait until a line has arrived on standard input. */
export async function line() {
  await arrived;
}
