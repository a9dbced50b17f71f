/** What drawings are made of. @module */

/** A whole document on white. */
export function svgDocument(
  title: string,
  { width, height }: { width: number; height: number },
  parts: readonly string[],
): string {
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="13" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...parts,
  ].join('\n')}\n</svg>\n`;
}

/** How a text looks. */
export type TextStyle = { anchor?: string; size?: number; weight?: number; colour?: string };

/** A text whose baseline begins, ends or has its middle at a point. */
export function text(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { anchor = 'start', size = 13, weight = 400, colour = '#1d2330' } = style;
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="${size}" font-weight="${weight}" fill="${colour}">${escapeXml(content)}</text>`;
}

/** Text that stands in an element. */
export function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** A coordinate with one digit: more cannot be seen. */
export function round(value: number): number {
  return Math.round(value * 10) / 10;
}
