import { describe, expect, it } from 'vitest';
import { newLoss } from './loss.ts';

const gone = new Error('gone');
const forever = () => new Promise<never>(() => undefined);

describe('an answer over a connection', () => {
  it('comes, and nothing of it is kept', async () => {
    const loss = newLoss();
    const answers = [loss.orLost(Promise.resolve(1)), loss.orLost(Promise.reject(gone))];
    expect(loss.waiting).toBe(2);
    const settled = await Promise.allSettled(answers);
    expect(settled).toEqual([
      { status: 'fulfilled', value: 1 },
      { status: 'rejected', reason: gone },
    ]);
    expect(loss.waiting).toBe(0);
  });

  it('comes no more once the connection is lost, waited for before or after', async () => {
    const loss = newLoss();
    const before = loss.orLost(forever());
    loss.lose(gone);
    loss.lose(new Error('later'));
    await expect(before).rejects.toBe(gone);
    await expect(loss.orLost(forever())).rejects.toBe(gone);
    await expect(loss.lost).rejects.toBe(gone);
    expect(loss.waiting).toBe(0);
  });
});
