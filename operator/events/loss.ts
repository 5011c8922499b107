/** The end of a connection, for those who wait for answers over it. */
export type Loss = {
  /** Rejects when the connection is lost. For few: whoever waits on it stays known to it until then. */
  readonly lost: Promise<never>;
  /** Answers that are waited for. */
  readonly waiting: number;
  /**
   * Settles as `answer` does, or rejects when the connection is lost before. A race with `lost` would do the same, and
   * leave something of each answer in memory for as long as the connection stands: a million answers, a full heap.
   */
  orLost<Answer>(answer: Promise<Answer>): Promise<Answer>;
  /** Rejects all that is waited for, and all that will be, with this reason. The first reason stays. */
  lose(reason: Error): void;
};

export function newLoss(): Loss {
  const { promise: lost, reject } = Promise.withResolvers<never>();
  lost.catch(() => undefined);
  const waiting = new Set<(reason: Error) => void>();
  let isLost: Error | undefined;
  return {
    lost,
    get waiting() {
      return waiting.size;
    },
    orLost: (answer) =>
      new Promise((resolve, fail) => {
        if (isLost) fail(isLost);
        else waiting.add(fail);
        answer.then(resolve, fail).finally(() => waiting.delete(fail));
      }),
    lose: (reason) => {
      isLost ??= reason;
      reject(isLost);
      for (const fail of waiting) fail(isLost);
      waiting.clear();
    },
  };
}
