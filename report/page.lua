-- Turns the notebook's outputs into the page: captions join their figures and tables, code folds away.

-- What notebooks and metadata show may hold names of others: Markdown without HTML, formulas, attributes, notes.
local SHOWN = "markdown_strict-raw_html+all_symbols_escapable+auto_identifiers+blank_before_header+citations"
  .. "+intraword_underscores+pipe_tables+smart+space_in_atx_header+startnum"
local NO_LINKS = { Image = function(image) return image.caption end, Link = function(link) return link.content end }

local function read_shown(text)
  return pandoc.read(text, SHOWN):walk(NO_LINKS).blocks
end

-- The head of the report: paragraphs where it ends with a line break, else words.
local function read_head(value)
  if pandoc.utils.type(value) == "List" then return value:map(read_head) end
  local text = pandoc.utils.stringify(value)
  local blocks = read_shown(text)
  return text:match("\n$") and blocks or pandoc.utils.blocks_to_inlines(blocks)
end

local function add_head(meta)
  for key, value in pairs(meta.jupyter and meta.jupyter.head or {}) do meta[key] = read_head(value) end
  return meta
end

-- Typst makes other signs of these.
local function on_paper_literal(word)
  if FORMAT ~= "typst" or not (word.text:find("%-[%-?%d]") or word.text:find("...", 1, true)) then return nil end
  return pandoc.RawInline("typst", '#"' .. word.text:gsub('[\\"]', "\\%0") .. '";')
end

local function starts_with(block, word)
  local first = block.t == "Para" and block.content[1]
  return first and first.t == "Strong" and pandoc.utils.stringify(first):match("^" .. word .. " [%d%.]+%.$")
end

local function identifier(block)
  return pandoc.utils.stringify(block.content[1]):lower():gsub("%.$", ""):gsub("[ .]", "-")
end

local function lone_image(block)
  return block and block.t == "Para" and #block.content == 1 and block.content[1].t == "Image" and block.content[1]
end

-- Tables scroll on their own where the screen is narrower; their columns are as wide as their words.
local function framed(caption, content)
  for _, column in ipairs(content.colspecs) do column[2] = nil end
  local id = ""
  if caption then
    content.caption = { long = { caption } }
    id = identifier(caption)
  end
  -- A list of pairs: Lua shuffles the keys of a table from run to run.
  local attributes = { { "role", "region" }, { "tabindex", "0" }, { "aria-label", caption and pandoc.utils.stringify(caption.content[1]) or "Table" } }
  return pandoc.Div(content, pandoc.Attr(id, { "table" }, attributes))
end

local KINDS = { svg = "inline-svg", png = "shown" }

local function captioned(blocks)
  local result = pandoc.List()
  local place = 1
  while place <= #blocks do
    local block, below = blocks[place], blocks[place + 1]
    local image = lone_image(block)
    if image then
      image.classes:insert(KINDS[image.src:match("%w+$")] or "animation")
      if below and (starts_with(below, "Figure") or starts_with(below, "Animation")) then
        result:insert(pandoc.Figure({ pandoc.Plain { image } }, { long = { below } }, pandoc.Attr(identifier(below))))
        place = place + 1
      else
        result:insert(block)
      end
    elseif starts_with(block, "Table") and below and below.t == "Table" then
      result:insert(framed(block, below))
      place = place + 1
    elseif block.t == "Table" then
      result:insert(framed(nil, block))
    else
      result:insert(block)
    end
    place = place + 1
  end
  return result
end

local waiting = pandoc.List()

-- The code of cells that show nothing, or a heading alone, waits for the next cell that does.
local function folded(code, outputs)
  if FORMAT ~= "html5" then return {} end -- paper has no place to fold it into
  waiting:extend(code)
  if #outputs == 0 or (#outputs == 1 and outputs[1].t == "Header") then return {} end
  local content = pandoc.List { pandoc.RawBlock("html", '<details class="code"><summary>code</summary>') }
  content:extend(waiting)
  content:insert(pandoc.RawBlock("html", "</details>"))
  waiting = pandoc.List()
  return content
end

-- The code of a cell with the tag `shown`, above what it shows.
local function with_code(code, outputs)
  local content = pandoc.List()
  for _, block in ipairs(code) do
    if FORMAT == "typst" then
      content:insert(pandoc.RawBlock("typst", '#block(width: 100%, fill: rgb("#f5f7f9"), inset: 6pt, radius: 2pt)['))
      content:insert(block)
      content:insert(pandoc.RawBlock("typst", "]"))
    else
      content:insert(pandoc.Div(block, { class = "shown-code" }))
    end
  end
  for _, block in ipairs(outputs) do
    local image = lone_image(block)
    if image and #image.caption == 0 then image.caption = { pandoc.Str("What the code above shows.") } end
    content:insert(block.t == "CodeBlock" and pandoc.Div(block, { class = "shown-text" }) or block)
  end
  return content
end

local function code_cell(cell)
  local outputs, code = pandoc.List(), pandoc.List()
  for _, block in ipairs(cell.content) do
    if block.t == "CodeBlock" then
      code:insert(block)
    elseif block.t == "Div" and block.classes:includes("output") then
      for _, inner in ipairs(block.content) do
        if inner.t == "RawBlock" and inner.format == "markdown" then
          outputs:extend(read_shown(inner.text))
        else
          outputs:insert(inner)
        end
      end
    end
  end
  if (cell.attributes.tags or ""):find("shown", 1, true) then return with_code(code, captioned(outputs)) end
  return captioned(outputs) .. folded(code, outputs)
end

function Div(cell)
  if cell.classes:includes("cell") then
    return cell.classes:includes("code") and code_cell(cell) or captioned(cell.content)
  end
end

local function around(opening, block)
  return { pandoc.RawBlock("typst", opening), block, pandoc.RawBlock("typst", "]") }
end

-- Whether the section goes on in words or tables behind the figures that begin at this place.
local function goes_on(blocks, place)
  while blocks[place] and blocks[place].t == "Figure" do place = place + 1 end
  local block = blocks[place]
  return block and (block.t ~= "Header" or block.level > 2)
end

-- On paper a figure that stands amid words makes room for them, below its heading, and what leads in stays with what it leads to.
local function on_paper(document)
  if FORMAT ~= "typst" then return nil end
  local result, blocks = pandoc.List(), document.blocks
  local in_words = false
  local num_chapters = 0
  for place, block in ipairs(blocks) do
    if block.t == "Header" and block.level == 1 then
      num_chapters = num_chapters + 1
      if num_chapters == 2 then result:insert(pandoc.RawBlock("typst", "#contents")) end
    end
    local below = blocks[place + 1]
    local stays = below and below.t == "Figure" and not goes_on(blocks, place + 1)
    if block.t == "Figure" and in_words and num_chapters ~= 1 and goes_on(blocks, place) then
      result:extend(around("#[#set figure(placement: bottom)", block))
    elseif block.t == "Para" and (stays or pandoc.utils.stringify(block):match(":$")) then
      result:extend(around("#block(sticky: true)[", block))
    else
      result:insert(block)
    end
    in_words = block.t ~= "Header" and (in_words or block.t ~= "Figure")
  end
  document.blocks = result
  return document
end

return { { Div = Div, Meta = add_head }, { Pandoc = on_paper }, { Str = on_paper_literal } }
