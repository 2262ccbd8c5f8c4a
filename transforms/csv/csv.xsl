<?xml version="1.0" encoding="UTF-8"?>
<!--
  Canonical XML to CSV (RFC 4180): one row per event, and one per stay of a participant. README.md names the columns.

  A column is one call of the template "cell" in the order of the heading; every cell is quoted, so that a line
  break, a quote or a comma in somebody's text stays inside it.
-->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:c="urn:chancery:1"
                xmlns:str="http://exslt.org/strings"
                extension-element-prefixes="str"
                exclude-result-prefixes="c">

  <xsl:output method="text" encoding="UTF-8" media-type="text/csv"/>

  <!-- first, or next when the result is appended to that of an earlier conversation. -->
  <xsl:param name="chancery-part" select="'first'"/>
  <!-- yes: an apostrophe goes before a text that a spreadsheet would take for a formula. It alters the evidence. -->
  <xsl:param name="formula_guard" select="'no'"/>
  <!-- yes: rows of type STAY tell who was in the room from when to when. -->
  <xsl:param name="stays" select="'yes'"/>

  <xsl:key name="acts" match="Message" use="concat(generate-id(../..), '|', Sender/@uri)"/>

  <xsl:template match="/">
    <xsl:if test="$formula_guard != 'yes' and $formula_guard != 'no'">
      <xsl:message terminate="yes">parameter formula_guard: expected yes or no</xsl:message>
    </xsl:if>
    <xsl:if test="$stays != 'yes' and $stays != 'no'">
      <xsl:message terminate="yes">parameter stays: expected yes or no</xsl:message>
    </xsl:if>
    <xsl:if test="$chancery-part != 'next'">
      <xsl:text>time,time_ms,type,room,room_name,room_kind,sender,sender_name,sender_email,sender_id,sender_internal,</xsl:text>
      <xsl:text>sender_bot,sender_company,message_id,in_reply_to,thread,text,previous_text,replacement,reaction,change,</xsl:text>
      <xsl:text>member,member_name,member_previous_name,member_role,history_from,history_to,history_limit,file_id,file_name,file_on_share,</xsl:text>
      <xsl:text>media_type,size,sha256,missing,late,conflict,time_is_receipt,mismatch,joined,left,inferred,source,event,sequence,</xsl:text>
      <xsl:text>event_type,received,text_exact_base64,others_exact_base64,raw_base64,completes&#13;&#10;</xsl:text>
    </xsl:if>
    <xsl:apply-templates select="Conversations/Conversation"/>
  </xsl:template>

  <xsl:template match="Conversation">
    <xsl:if test="$stays = 'yes'"><xsl:apply-templates select="c:Participants/c:Participant"/></xsl:if>
    <xsl:apply-templates select="Messages/Message"/>
  </xsl:template>

  <!-- ============================== rows ============================== -->

  <xsl:template match="Message">
    <xsl:variable name="carries_file" select="@type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD'"/>
    <xsl:call-template name="first-cell"><xsl:with-param name="text" select="DateTimeUTC/@string"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="DateTimeUTC/@since1970"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@type"/></xsl:call-template>
    <xsl:call-template name="room"><xsl:with-param name="conversation" select="../.."/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="Sender/@uri"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="Sender/@UserName | Sender/@userName"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="Sender/@email"/></xsl:call-template>
    <xsl:choose>
      <xsl:when test="Sender/@c:id"><xsl:call-template name="cell"><xsl:with-param name="text" select="Sender/@c:id"/></xsl:call-template></xsl:when>
      <xsl:otherwise><xsl:call-template name="cell"><xsl:with-param name="text" select="Sender/@id"/></xsl:call-template></xsl:otherwise>
    </xsl:choose>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="Sender/@internal"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="Sender/@c:bot"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="Sender/@c:company"/></xsl:call-template>
    <xsl:choose>
      <xsl:when test="@c:messageId"><xsl:call-template name="cell"><xsl:with-param name="text" select="@c:messageId"/></xsl:call-template></xsl:when>
      <xsl:otherwise><xsl:call-template name="cell"><xsl:with-param name="text" select="@id[. != 0]"/></xsl:call-template></xsl:otherwise>
    </xsl:choose>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:inReplyTo"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:thread"/></xsl:call-template>
    <!-- The content of a file's message is the name of its copy, which has a column of its own. -->
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@content[not($carries_file)]"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:previous"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:replacement"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:reaction"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:change"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="c:Member/@uri"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="c:Member/@name"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="c:Member/@previousName"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="c:Member/@role"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:from"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:to"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:limit"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:fileId"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:fileName"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@content[$carries_file and not(../@c:missing)]"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:mediaType"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:size"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:sha256"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:missing"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:late"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:conflict"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:timeIsReceipt"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:mismatch"/></xsl:call-template>
    <xsl:text>,,,</xsl:text>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:source"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:event"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:sequence"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:kind"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:receivedAt"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:original"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:originals"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:raw"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@c:completes"/></xsl:call-template>
    <xsl:text>&#13;&#10;</xsl:text>
  </xsl:template>

  <!-- A stay has no event of its own: joins and leaves are rows like any other. -->
  <xsl:template match="c:Participant">
    <xsl:variable name="sender" select="key('acts', concat(generate-id(../..), '|', @uri))[1]/Sender"/>
    <xsl:call-template name="first-cell"><xsl:with-param name="text" select="../../StartTimeUTC/@string"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="../../StartTimeUTC/@since1970"/></xsl:call-template>
    <xsl:text>,"STAY"</xsl:text>
    <xsl:call-template name="room"><xsl:with-param name="conversation" select="../.."/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@uri"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@name"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@email"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="$sender/@c:id"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="$sender/@internal"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="$sender/@c:bot"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="$sender/@c:company"/></xsl:call-template>
    <xsl:text>,,,,,,,,,,,,,,,,,,,,,,,,,,</xsl:text>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@joined"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@left"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="@inferred"/></xsl:call-template>
    <xsl:text>,,,,,,,,,&#13;&#10;</xsl:text>
  </xsl:template>

  <xsl:template name="room">
    <xsl:param name="conversation"/>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="$conversation/Channel/@uri"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="$conversation/Channel/@name"/></xsl:call-template>
    <xsl:call-template name="cell"><xsl:with-param name="text" select="$conversation/Channel/@c:kind"/></xsl:call-template>
  </xsl:template>

  <!-- ============================== cells ============================== -->

  <xsl:template name="cell">
    <xsl:param name="text"/>
    <xsl:text>,</xsl:text>
    <xsl:call-template name="first-cell"><xsl:with-param name="text" select="$text"/></xsl:call-template>
  </xsl:template>

  <xsl:template name="first-cell">
    <xsl:param name="text"/>
    <xsl:if test="string($text)">
      <xsl:text>"</xsl:text>
      <xsl:if test="$formula_guard = 'yes' and contains('=+-@&#9;&#13;', substring($text, 1, 1))">'</xsl:if>
      <xsl:choose>
        <xsl:when test="contains($text, '&quot;')"><xsl:value-of select="str:replace($text, '&quot;', '&quot;&quot;')"/></xsl:when>
        <xsl:otherwise><xsl:value-of select="$text"/></xsl:otherwise>
      </xsl:choose>
      <xsl:text>"</xsl:text>
    </xsl:if>
  </xsl:template>
</xsl:stylesheet>
