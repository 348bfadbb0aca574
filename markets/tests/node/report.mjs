// What a judge script shares: its input from stdin, and a report of every step as one line of JSON on stdout.

export async function input() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

export class Report {
  #steps = {};

  // Run one step and keep what it answered, or what it threw.
  async step(name, call) {
    try {
      const answer = await call();
      this.#steps[name] = { answer: answer === undefined ? null : answer };
      return answer;
    } catch (thrown) {
      this.#steps[name] = { error: `${thrown?.name}: ${thrown?.message ?? JSON.stringify(thrown)}` };
      return undefined;
    }
  }

  // What to print instead of an answer that is a client or a stream.
  replace(name, answer) {
    if (this.#steps[name].error === undefined) this.#steps[name] = { answer: answer ?? null };
  }

  print() {
    const plain = (_, value) => (typeof value === "bigint" ? value.toString() : value);
    process.stdout.write(`${JSON.stringify(this.#steps, plain)}\n`);
  }
}
