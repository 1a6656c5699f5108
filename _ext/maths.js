// Sets formulas as HTML. Run by maths.py: reads
//   {"root": folder of MathJax, "pages": [[{"tex": ..., "display": true or false}, ...], ...]}
// from standard input and writes, for each page, {"html": [...], "css": "..."}.
const { root, pages } = JSON.parse(require("fs").readFileSync(0, "utf8"));

require(`${root}/node-main.js`)
  .init({
    loader: {
      load: ["input/tex", "output/chtml", "adaptors/liteDOM", "a11y/assistive-mml"],
      paths: { mathjax: root },
      versionWarnings: false, // the package numbers its parts differently
    },
    chtml: { fontURL: "FONTS" },
    startup: { typeset: false },
  })
  .then((MathJax) => {
    const { adaptor, output } = MathJax.startup;
    const set = ({ tex, display }) => adaptor.outerHTML(MathJax.tex2chtml(tex, { display }));
    const answers = pages.map((formulas) => {
      // The style of a page has rules for its own characters only.
      output.clearCache();
      const html = formulas.map(set);
      return { html, css: adaptor.textContent(MathJax.chtmlStylesheet()) };
    });
    process.stdout.write(JSON.stringify(answers));
  })
  .catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
