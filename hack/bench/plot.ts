import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { initWasm, Resvg } from '@resvg/resvg-wasm';

/** A line over time; NaN leaves a gap. */
export type Line = { readonly name: string; readonly values: readonly number[] };

/** Lines with one unit. A logarithmic scale leaves out what is not above 0. */
export type Panel = {
  readonly title: string;
  readonly unit: string;
  readonly scale: 'linear' | 'logarithmic';
  readonly lines: readonly Line[];
};

export type Plot = {
  readonly title: string;
  readonly subtitle: string;
  /** Of each value of every line. */
  readonly seconds: readonly number[];
  readonly panels: readonly Panel[];
};

const width = 960;
const left = 70;
const right = 190;
const top = 64;
const panelHeight = 170;
const gap = 44;
const plotWidth = width - left - right;
/** Told apart by people who see colours differently, on white. */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00'] as const;

/** Panels one below the other that share the time axis, as SVG. */
export function plotSvg({ title, subtitle, seconds, panels }: Plot): string {
  const height = top + panels.length * (panelHeight + gap) + 24;
  const end = Math.max(...seconds, 1);
  const x = (at: number) => left + (at / end) * plotWidth;
  const ticks = timeTicks(end);
  const drawn = panels.map((panel, index) => {
    const y0 = top + index * (panelHeight + gap) + 22;
    const isLast = index === panels.length - 1;
    return [
      ...ticks.map((at) => line(x(at), y0, x(at), y0 + panelHeight - 22, '#eee')),
      panelSvg(panel, seconds, x, y0, panelHeight - 22),
      ...ticks.map((at) => text(x(at), y0 + panelHeight - 6, clockTime(at), 'middle', '#666')),
      ...(isLast
        ? [text(left + plotWidth / 2, y0 + panelHeight + 16, 'time since the start, min:s', 'middle', '#333')]
        : []),
    ].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="DejaVu Sans, sans-serif" font-size="11">
<rect width="${width}" height="${height}" fill="white"/>
<text x="${left}" y="26" font-size="16" font-weight="bold">${escaped(title)}</text>
${text(left, 44, subtitle, 'start', '#555')}
${drawn.join('\n')}
</svg>
`;
}

/** The picture of an SVG, twice as fine, whatever fonts the machine has. */
export async function pngOf(svg: string): Promise<Uint8Array> {
  const { resolve } = createRequire(import.meta.url);
  await initWasm(await readFile(resolve('@resvg/resvg-wasm/index_bg.wasm')));
  const fonts = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'].map((name) => resolve(`dejavu-fonts-ttf/ttf/${name}`));
  const fontBuffers = await Promise.all(fonts.map((path) => readFile(path)));
  const font = { fontBuffers, defaultFontFamily: 'DejaVu Sans' };
  return new Resvg(svg, { font, fitTo: { mode: 'zoom', value: 2 } }).render().asPng();
}

function panelSvg(panel: Panel, seconds: readonly number[], x: (at: number) => number, y0: number, height: number) {
  const isLog = panel.scale === 'logarithmic';
  const ticks = isLog ? logTicks(panel) : linearTicks(panel);
  const scaled = (value: number) => (isLog ? Math.log10(value) : value);
  const [low = 0, high = 1] = [ticks[0], ticks.at(-1)].map((tick) => scaled(tick ?? 0));
  const y = (value: number) => y0 + height - ((scaled(value) - low) / (high - low)) * height;
  const ordered = [...panel.lines].sort((a, b) => lastOf(b) - lastOf(a));
  return [
    text(left, y0 - 8, `${panel.title}, ${panel.unit}`, 'start', '#111', 'bold'),
    text(left + plotWidth + 12, y0 - 8, 'at the end', 'start', '#666'),
    ...ticks.map((tick) => line(left, y(tick), left + plotWidth, y(tick), '#ddd')),
    ...ticks.map((tick) => text(left - 8, y(tick) + 4, shortNumber(tick), 'end', '#666')),
    ...panel.lines.map(({ values }, index) => {
      const points = values.map((value, at) => ({ at: seconds[at] ?? 0, value }));
      return path(
        points.map(({ at, value }) => (isDrawn(value, isLog) ? [x(at), y(value)] : undefined)),
        colourOf(index),
      );
    }),
    // Beside the ends of the lines, in their order, so that no key has to be looked up.
    ...ordered.map((each, index) => {
      const colour = colourOf(panel.lines.indexOf(each));
      return text(
        left + plotWidth + 12,
        y0 + 12 + index * 17,
        `${each.name}  ${shortNumber(lastOf(each))}`,
        'start',
        colour,
        'bold',
      );
    }),
  ].join('\n');
}

function isDrawn(value: number, isLog: boolean): boolean {
  return Number.isFinite(value) && (!isLog || value > 0);
}

function lastOf({ values }: Line): number {
  return values.findLast((value) => Number.isFinite(value)) ?? 0;
}

function colourOf(index: number): string {
  return colours[index % colours.length] ?? 'black';
}

/** From 0 to above the greatest value, in four to seven round steps. */
function linearTicks({ lines }: Panel): readonly number[] {
  const greatest = Math.max(1e-9, ...lines.flatMap(({ values }) => values.filter(Number.isFinite)));
  const step = roundStep(greatest / 5);
  return Array.from({ length: Math.ceil(greatest / step) + 1 }, (_, n) => n * step);
}

/** Powers of ten around all values. */
function logTicks({ lines }: Panel): readonly number[] {
  const drawn = lines.flatMap(({ values }) => values.filter((value) => isDrawn(value, true)));
  const first = Math.floor(Math.log10(Math.min(1, ...drawn)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(1, ...drawn))));
  return Array.from({ length: last - first + 1 }, (_, n) => 10 ** (first + n));
}

/** The next 1, 2 or 5 times a power of ten. */
function roundStep(atLeast: number): number {
  const power = 10 ** Math.floor(Math.log10(atLeast));
  const factor = [1, 2, 5, 10].find((each) => each * power >= atLeast) ?? 10;
  return factor * power;
}

function timeTicks(end: number): readonly number[] {
  const steps = [5, 10, 30, 60, 120, 300, 600, 1_800, 3_600];
  const step = steps.find((each) => end / each <= 8) ?? 7_200;
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, n) => n * step);
}

function clockTime(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, '0')}`;
}

function shortNumber(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en-GB');
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string): string {
  return `<line x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" stroke="${colour}"/>`;
}

function path(points: readonly (readonly [number, number] | readonly number[] | undefined)[], colour: string): string {
  let isOpen = false;
  const d = points.map((point) => {
    if (point === undefined) {
      isOpen = false;
      return '';
    }
    const [atX = 0, atY = 0] = point;
    const step = `${isOpen ? 'L' : 'M'}${px(atX)} ${px(atY)}`;
    isOpen = true;
    return step;
  });
  return `<path d="${d.join('')}" fill="none" stroke="${colour}" stroke-width="1.6" stroke-linejoin="round"/>`;
}

function text(x: number, y: number, content: string, anchor: string, colour: string, weight = 'normal'): string {
  return `<text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}" fill="${colour}" font-weight="${weight}">${escaped(content)}</text>`;
}

function px(value: number): string {
  return value.toFixed(1);
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
