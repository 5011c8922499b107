import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FakeClock } from '../testkit/clock.ts';
import { type Lane, WorkQueue } from './queue.ts';

function aQueue(random = () => 1) {
  const clock = new FakeClock();
  const taken: [lane: Lane, waitedMs: number][] = [];
  const depths: number[] = [];
  const hooks = {
    onTaken: (lane: Lane, ms: number) => void taken.push([lane, ms]),
    onDepth: (n: number) => void depths.push(n),
  };
  return { clock, taken, depths, queue: new WorkQueue({ clock, random, hooks }) };
}

async function takeAll(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = [];
  while (queue.depth > 0) keys.push((await queue.take()) ?? '');
  return keys;
}

describe('keys', () => {
  test('wait once, however often they are added', async () => {
    const { queue } = aQueue();
    for (const key of ['a', 'b', 'a', 'b', 'a']) queue.add(key);
    expect(await takeAll(queue)).toEqual(['a', 'b']);
  });

  test('are worked on by one worker at a time, and again when added meanwhile', async () => {
    const { queue } = aQueue();
    queue.add('a');
    await queue.take();
    queue.add('a');
    queue.add('a');
    expect(queue.depth).toBe(0);
    queue.done('a');
    expect(await takeAll(queue)).toEqual(['a']);
    queue.done('a');
    expect(queue.depth).toBe(0);
  });

  test('reach a waiting worker in a microtask, before any timer or I/O', async () => {
    const { queue } = aQueue();
    const order: string[] = [];
    const worker = queue.take().then((key) => order.push(`took ${key}`));
    const io = new Promise<void>((resolve) => setImmediate(() => resolve(void order.push('I/O'))));
    queue.add('a');
    await Promise.all([worker, io]);
    expect(order).toEqual(['took a', 'I/O']);
  });
});

describe('lanes', () => {
  test('background keys wait behind urgent ones', async () => {
    const { queue } = aQueue();
    for (const key of ['r1', 'r2']) queue.add(key, 'background');
    for (const key of ['u1', 'u2']) queue.add(key);
    expect(await takeAll(queue)).toEqual(['u1', 'u2', 'r1', 'r2']);
  });

  test('with a thousand resyncs waiting, what somebody changes is next', async () => {
    const { queue } = aQueue();
    for (let n = 0; n < 1_000; n += 1) queue.add(`resync-${n}`, 'background');
    expect(await queue.take()).toBe('resync-0');
    queue.add('edited');
    queue.add('resync-999');
    expect([await queue.take(), await queue.take(), await queue.take()]).toEqual(['edited', 'resync-999', 'resync-1']);
  });

  test('an urgent add moves a key out of the background, never the other way', async () => {
    const { queue } = aQueue();
    for (const key of ['r1', 'r2', 'r3']) queue.add(key, 'background');
    queue.add('r2');
    queue.add('r2', 'background');
    expect(await takeAll(queue)).toEqual(['r2', 'r1', 'r3']);
  });

  test('the background does not starve under a flood of urgent keys', async () => {
    const { queue } = aQueue();
    queue.add('slow', 'background');
    for (let i = 0; i < 100; i += 1) queue.add(`u${i}`);
    expect((await takeAll(queue)).indexOf('slow')).toBe(16);
  });

  test('thousands of keys come out in order', async () => {
    const { queue } = aQueue();
    const keys = Array.from({ length: 5_000 }, (_, i) => `k${i}`);
    for (const key of keys) queue.add(key, 'background');
    expect(await takeAll(queue)).toEqual(keys);
  });
});

describe('delays', () => {
  test('the earliest wins', async () => {
    const { clock, queue } = aQueue();
    queue.addAfter('a', 1_000);
    queue.addAfter('a', 200);
    queue.addAfter('a', 5_000);
    clock.advanceSync(199);
    expect(queue.depth).toBe(0);
    clock.advanceSync(1);
    expect(await takeAll(queue)).toEqual(['a']);
    expect(clock.pending).toBe(0);
  });

  test('taking a key ends its delay; the pass says anew when to look', async () => {
    const { clock, queue } = aQueue();
    queue.addAfter('a', 1_000);
    queue.add('a');
    await queue.take();
    expect(clock.pending).toBe(0);
    queue.addAfter('a', 300);
    queue.done('a');
    clock.advanceSync(300);
    expect(queue.depth).toBe(1);
  });

  test('retries double from 5 ms to 60 s and start over after forget', () => {
    const { queue } = aQueue();
    const delays = Array.from({ length: 16 }, () => queue.retry('a'));
    expect(delays.slice(0, 4)).toEqual([5, 10, 20, 40]);
    expect(delays.at(-1)).toBe(60_000);
    expect(queue.failures('a')).toBe(16);
    queue.forget('a');
    expect(queue.retry('a')).toBe(5);
  });

  test('retries are jittered by half and keep to their bounds', () => {
    const { queue } = aQueue(() => 0);
    expect(queue.retry('a')).toBe(2.5);
    expect(queue.retry('b', { minMs: 2_000 })).toBe(2_000);
    for (let i = 0; i < 20; i += 1) queue.retry('c', { maxMs: 500 });
    expect(queue.retry('c', { maxMs: 500 })).toBe(250);
  });
});

describe('the end', () => {
  test('an aborted take gives nothing and loses no key', async () => {
    const { queue } = aQueue();
    const abort = new AbortController();
    const waiting = queue.take(abort.signal);
    abort.abort();
    expect(await waiting).toBeUndefined();
    queue.add('a');
    expect(await queue.take(abort.signal)).toBeUndefined();
    expect(await queue.take()).toBe('a');
  });

  test('a closed queue hands out nothing, and drained waits for what is in flight', async () => {
    const { clock, queue } = aQueue();
    queue.add('a');
    queue.add('b');
    queue.addAfter('c', 100);
    await queue.take();
    const waiting = queue.drained().then(() => 'drained');
    queue.close();
    expect(await queue.take()).toBeUndefined();
    expect(clock.pending).toBe(0);
    queue.done('a');
    expect(await waiting).toBe('drained');
    expect(queue.inFlight).toBe(0);
  });

  test('hooks tell the depth and how long keys waited', async () => {
    const { clock, depths, queue, taken } = aQueue();
    queue.add('a', 'background');
    clock.advanceSync(7);
    await queue.take();
    expect(taken).toEqual([['background', 7]]);
    expect(depths).toEqual([1, 0]);
  });
});

// The model: what must be worked on, what is being worked on. Lanes and order are left out on purpose.
type Model = { waiting: Set<string>; inFlight: Set<string>; again: Set<string>; due: Map<string, number>; now: number };
type Real = { readonly clock: FakeClock; readonly queue: WorkQueue };

const key = fc.constantFrom('a', 'b', 'c', 'd');

function modelAdd(model: Model, k: string): void {
  if (model.inFlight.has(k)) model.again.add(k);
  else model.waiting.add(k);
}

function agree(model: Model, { queue }: Real): void {
  expect(queue.depth).toBe(model.waiting.size);
  expect(queue.inFlight).toBe(model.inFlight.size);
}

class Add implements fc.AsyncCommand<Model, Real> {
  readonly k: string;
  readonly lane: Lane;
  constructor(k: string, lane: Lane) {
    this.k = k;
    this.lane = lane;
  }
  check = () => true;
  async run(model: Model, real: Real) {
    real.queue.add(this.k, this.lane);
    modelAdd(model, this.k);
    agree(model, real);
  }
  toString = () => `add(${this.k}, ${this.lane})`;
}

class AddAfter implements fc.AsyncCommand<Model, Real> {
  readonly k: string;
  readonly ms: number;
  constructor(k: string, ms: number) {
    this.k = k;
    this.ms = ms;
  }
  check = () => true;
  async run(model: Model, real: Real) {
    real.queue.addAfter(this.k, this.ms);
    model.due.set(this.k, Math.min(model.due.get(this.k) ?? Number.POSITIVE_INFINITY, model.now + this.ms));
    agree(model, real);
  }
  toString = () => `addAfter(${this.k}, ${this.ms})`;
}

class Take implements fc.AsyncCommand<Model, Real> {
  check = (model: Readonly<Model>) => model.waiting.size > 0;
  async run(model: Model, real: Real) {
    const k = (await real.queue.take()) ?? '';
    expect(model.waiting).toContain(k);
    expect(model.inFlight).not.toContain(k);
    model.waiting.delete(k);
    model.due.delete(k);
    model.inFlight.add(k);
    agree(model, real);
  }
  toString = () => 'take';
}

class Done implements fc.AsyncCommand<Model, Real> {
  readonly k: string;
  constructor(k: string) {
    this.k = k;
  }
  check = (model: Readonly<Model>) => model.inFlight.has(this.k);
  async run(model: Model, real: Real) {
    real.queue.done(this.k);
    model.inFlight.delete(this.k);
    if (model.again.delete(this.k)) model.waiting.add(this.k);
    agree(model, real);
  }
  toString = () => `done(${this.k})`;
}

class Advance implements fc.AsyncCommand<Model, Real> {
  readonly ms: number;
  constructor(ms: number) {
    this.ms = ms;
  }
  check = () => true;
  async run(model: Model, real: Real) {
    real.clock.advanceSync(this.ms);
    model.now += this.ms;
    for (const [k, at] of [...model.due]) {
      if (at > model.now) continue;
      model.due.delete(k);
      modelAdd(model, k);
    }
    agree(model, real);
  }
  toString = () => `advance(${this.ms})`;
}

test('keys that are gone leave nothing behind: no wait, no delay, no backoff', async () => {
  const { clock, queue } = aQueue();
  const keys = Array.from({ length: 500 }, (_, n) => `agent-${n}`);
  for (const key of keys) queue.add(key, 'background');
  for (const key of keys) queue.add(key);
  for (let n = 0; n < keys.length; n += 1) {
    const key = (await queue.take()) ?? '';
    queue.retry(key);
    queue.addAfter(key, 60_000);
    queue.done(key);
  }
  clock.advanceSync(1_000);
  for (const key of await takeAll(queue)) {
    queue.forget(key);
    queue.done(key);
  }
  expect(clock.pending).toBe(0);
  expect([queue.depth, queue.inFlight, ...keys.map((key) => queue.failures(key))].every((n) => n === 0)).toBe(true);
});

test('any sequence of operations: no key lost, none doubled, none in two hands', async () => {
  const commands = [
    fc.tuple(key, fc.constantFrom<Lane>('urgent', 'background')).map(([k, lane]) => new Add(k, lane)),
    fc.tuple(key, fc.integer({ min: 1, max: 50 })).map(([k, ms]) => new AddAfter(k, ms)),
    fc.constant(new Take()),
    key.map((k) => new Done(k)),
    fc.integer({ min: 1, max: 30 }).map((ms) => new Advance(ms)),
  ];
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { size: 'large' }), async (sequence) => {
      const setup = () => {
        const { clock, queue } = aQueue();
        const model: Model = { waiting: new Set(), inFlight: new Set(), again: new Set(), due: new Map(), now: 0 };
        return { model, real: { clock, queue } };
      };
      await fc.asyncModelRun(setup, sequence);
    }),
    { numRuns: 100 },
  );
}, 30_000);
